"""The probabilities of a batch of completions, in parts of about equal length.

TRL pads every row to the longest completion and encodes each copy of an image.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from segzero_train.training.images import distinct, split_images

ROWS = 8
"""Completions in a part."""


def bucketed_logprobs(model: Any) -> None:
    """Let `model(…, fused_lm_head=True)`, as TRL sets it up, encode equal images once and run rows
    of about equal length together, without the padding behind them.

    Probabilities and entropies are the same but for rounding. The parts are as many in every
    process: under ZeRO-3 all must join every forward pass.
    """
    plain = model.forward

    # `generate` checks its arguments against the signature.
    @wraps(type(model).forward)
    def forward(*inputs: Any, **named: Any) -> Any:
        if named.get("fused_lm_head") and named.get("pixel_values") is not None:
            return _score(model, plain, **named)
        return plain(*inputs, **named)

    model.forward = forward


def _score(
    model: Any,
    plain: Callable[..., Any],
    *,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    mm_token_type_ids: torch.Tensor,
    pixel_values: torch.Tensor,
    image_grid_thw: torch.Tensor,
    **options: Any,
) -> Any:
    images = split_images(pixel_values, image_grid_thw)
    kept, which = distinct(images)
    seen = model.get_image_features(
        torch.cat([images[k] for k in kept]), image_grid_thw[kept], return_dict=True
    )
    # A row's length up to its last token, prompts being padded on the left.
    ends = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    lengths = (attention_mask * ends).amax(1)
    order = lengths.argsort(descending=True, stable=True)
    parts = []
    for rows in order.split(ROWS):
        length = int(lengths[rows].max())
        parts.append(
            plain(
                input_ids=input_ids[rows, :length],
                attention_mask=attention_mask[rows, :length],
                labels=labels[rows, :length],
                mm_token_type_ids=mm_token_type_ids[rows, :length],
                image_grid_thw=image_grid_thw[rows],
                mm_encoder_outputs={"image": _pick(seen, which[rows.cpu()].tolist())},
                **options,
            )
        )
    back, length = order.argsort(), input_ids.shape[1] - 1
    return type(parts[0])(
        **{
            name: _join([part[name] for part in parts], back, length)
            for name in ("log_probs", "entropy")
            if name in parts[0]
        }
    )


def _pick(seen: Any, images: list[int]) -> Any:
    """The features of these images, of those that `get_image_features` returned."""
    picked = {"pooler_output": [seen.pooler_output[k] for k in images]}
    if "deepstack_features" in seen:
        picked["deepstack_features"] = [
            [layer[k] for k in images] for layer in seen.deepstack_features
        ]
    return type(seen)(**picked)


def _join(parts: list[torch.Tensor], back: torch.Tensor, length: int) -> torch.Tensor:
    """(B, length), zero behind a part's end, the rows in their first order."""
    padded = [torch.nn.functional.pad(part, (0, length - part.shape[1])) for part in parts]
    return torch.cat(padded)[back]
