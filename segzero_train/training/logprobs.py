"""Log-probabilities of a batch of completions, in buckets of about equal length.

They are `log π(o_t | q, o_<t)` of every completion token, as GRPO needs them (arXiv 2402.03300,
equation 3). TRL pads every row to the longest completion and encodes each copy of an image.

Shapes: B rows, T tokens of prompt and completion, K distinct images.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from segzero_train.training.images import distinct, split_images
from segzero_train.training.model import method_replaced

BUCKET_SIZE = 8
"""Completions in a bucket."""


@contextmanager
def bucketed_logprobs(model: Any) -> Iterator[None]:
    """Within it, `model(…, fused_lm_head=True)` encodes equal images once and runs in buckets.

    A bucket holds rows of about equal length, without the padding behind them. Log-probabilities
    and entropies are the same but for rounding. Every process has the same number of buckets: under
    ZeRO-3 all must join every forward pass.

    Args:
        model: a Qwen-VL of transformers, without a wrapper, with TRL's fused head.

    Yields:
        Nothing.
    """
    plain = model.forward

    def forward(*inputs: Any, **named: Any) -> Any:
        if named.get("fused_lm_head") and named.get("pixel_values") is not None:
            return _bucketed_forward(model, plain, **named)
        return plain(*inputs, **named)

    with method_replaced(model, "forward", forward):
        yield


def _bucketed_forward(
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
    images = split_images(pixel_values, image_grid_thw)  # B x (patches, D)
    first_rows, image_of_row = distinct(images)  # K indices, (B,)
    image_features = model.get_image_features(
        torch.cat([images[row] for row in first_rows]), image_grid_thw[first_rows], return_dict=True
    )  # K x (image tokens, D)
    # The length of a row up to its last token; prompts are padded on the left.
    ends = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)  # (T,)
    lengths = (attention_mask * ends).amax(1)  # (B, T) → (B,)
    order = lengths.argsort(descending=True, stable=True)  # (B,)
    outputs = []
    for rows in order.split(BUCKET_SIZE):
        length = int(lengths[rows].max())
        outputs.append(
            plain(
                input_ids=input_ids[rows, :length],  # (bucket, length)
                attention_mask=attention_mask[rows, :length],
                labels=labels[rows, :length],
                mm_token_type_ids=mm_token_type_ids[rows, :length],
                image_grid_thw=image_grid_thw[rows],
                mm_encoder_outputs={
                    "image": _pick(image_features, image_of_row[rows.cpu()].tolist())
                },
                **options,
            )
        )  # log_probs, entropy: (bucket, length - 1)
    inverse_order = order.argsort()
    return type(outputs[0])(
        **{
            name: _join([output[name] for output in outputs], inverse_order, input_ids.shape[1] - 1)
            for name in ("log_probs", "entropy")
            if name in outputs[0]
        }
    )


def _pick(image_features: Any, images: list[int]) -> Any:
    """The features of these images, of those that `get_image_features` returned."""
    picked = {"pooler_output": [image_features.pooler_output[k] for k in images]}
    if "deepstack_features" in image_features:
        picked["deepstack_features"] = [
            [layer[k] for k in images] for layer in image_features.deepstack_features
        ]
    return type(image_features)(**picked)


def _join(buckets: list[torch.Tensor], inverse_order: torch.Tensor, length: int) -> torch.Tensor:
    """Buckets of (rows, ≤ length) → (B, length) in the first order, zero behind a row's end."""
    padded = [torch.nn.functional.pad(part, (0, length - part.shape[1])) for part in buckets]
    return torch.cat(padded)[inverse_order]
