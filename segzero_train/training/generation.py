"""Generation for groups of samples: equal prompts are prefilled once, finished rows are dropped.

`generate` of transformers prefills every copy of a prompt, image included, and decodes all rows
until the longest has ended. Here the `kv_cache` of a prompt is computed once and copied to its
rows, as for the parallel sampling of PagedAttention (arXiv 2309.06180, section 4.4).

Shapes: B rows (completions), P distinct prompts, T tokens so far, V vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMode

from segzero_train.training.images import distinct, split_images
from segzero_train.training.model import method_replaced

_TEXT = ("input_ids", "attention_mask", "mm_token_type_ids")
"""Inputs of shape (B, T)."""


@contextmanager
def shared_prefill(model: Any) -> Iterator[None]:
    """Within it, `model.generate` prefills equal prompts once and drops rows that have ended.

    The random numbers are those of transformers: with the same seed the text is the same, except
    where rounding (sums over a smaller batch) decides between two tokens. Only sampling and greedy
    decoding change; everything else stays as it is.

    Args:
        model: a Qwen-VL of transformers, without a wrapper.

    Yields:
        Nothing.
    """
    with method_replaced(model, "generate", partial(_generate, model.generate)):
        yield


def _generate(plain: Callable[..., Any], **inputs: Any) -> torch.Tensor:
    config: GenerationConfig = inputs["generation_config"]
    modes = (GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH)
    if config.get_generation_mode() not in modes or config.cache_implementation:
        return plain(**inputs)
    prompts, prompt_of_row = _distinct_prompts(inputs)
    decode = partial(_decode, prompt_of_row=prompt_of_row)
    return plain(**inputs | prompts, custom_generate=decode)  # (B, T)


def _distinct_prompts(inputs: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The P distinct prompts, one image each, and the index (B,) of every row's prompt."""
    images = split_images(inputs["pixel_values"], inputs["image_grid_thw"])  # B x (patches, D)
    _, image_of_row = distinct(images)  # (B,)
    text = torch.cat([inputs[key] for key in _TEXT], dim=1)  # (B, 3 T)
    keys = torch.cat([text, image_of_row[:, None].to(text)], dim=1)  # (B, 3 T + 1)
    first_rows, prompt_of_row = distinct(list(keys))  # P indices, (B,)
    prompts = {key: inputs[key][first_rows] for key in (*_TEXT, "image_grid_thw")}  # (P, …)
    prompts["pixel_values"] = torch.cat([images[row] for row in first_rows])  # (all patches, D)
    return prompts, prompt_of_row.to(text.device)


def _decode(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: GenerationConfig,
    *,
    prompt_of_row: torch.Tensor,
    synced_gpus: bool = False,
    **model_kwargs: Any,
) -> torch.Tensor:
    """(B, prompt + completion) ids, padded after a row's end; a decoding method of `generate`."""
    # Prefill: (P, T) input_ids → (P, T or 1, V) logits and the kv_cache of P prompts.
    outputs = model(
        **model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **model_kwargs),
        return_dict=True,
    )
    model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
    model_kwargs = _select_rows(model_kwargs, prompt_of_row)  # kv_cache: P → B rows
    input_ids = input_ids[prompt_of_row]  # (B, T)
    logits = outputs.logits[prompt_of_row, -1]  # (B, V)
    batch_size = len(prompt_of_row)
    finished = list(input_ids)  # B x (T,), replaced when a row ends
    # Below, B shrinks: active_rows are the rows, of the first batch, that still write.
    active_rows = torch.arange(batch_size, device=input_ids.device)  # (B,)
    while True:
        scores = logits_processor(input_ids, logits.float())  # (B, V)
        next_tokens = _next_tokens(scores, active_rows, batch_size, generation_config.do_sample)
        input_ids = torch.cat([input_ids, next_tokens[:, None]], dim=1)  # (B, T + 1)
        is_done = stopping_criteria(input_ids, scores)  # (B,) bool
        for row in is_done.nonzero().flatten().tolist():
            finished[int(active_rows[row])] = input_ids[row]
        if is_done.all():
            break
        if is_done.any():
            kept = (~is_done).nonzero().flatten()  # (rows that go on,)
            active_rows, input_ids = active_rows[kept], input_ids[kept]
            model_kwargs = _select_rows(model_kwargs, kept)
        outputs = model(
            **model.prepare_inputs_for_generation(
                input_ids, next_sequence_length=1, **model_kwargs
            ),
            return_dict=True,
        )
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        logits = outputs.logits[:, -1]  # (B, 1, V) → (B, V)
    return torch.nn.utils.rnn.pad_sequence(
        finished, batch_first=True, padding_value=generation_config.pad_token_id
    )


def _select_rows(model_kwargs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """What the next step needs, for these rows alone."""
    model_kwargs = dict(model_kwargs)
    model_kwargs["past_key_values"].batch_select_indices(rows)  # the kv_cache: k, v (B, H, T, D)
    for key in _TEXT[1:]:
        if model_kwargs.get(key) is not None:
            model_kwargs[key] = model_kwargs[key][rows]  # (B, T)
    # (axes, B, T): M-RoPE (arXiv 2409.12191) has a position on each axis of an image.
    model_kwargs["position_ids"] = model_kwargs["position_ids"][:, rows]
    return model_kwargs


def _next_tokens(
    scores: torch.Tensor, active_rows: torch.Tensor, batch_size: int, sample: bool
) -> torch.Tensor:
    """A token (B,) for each of the active rows, from their scores (B, V)."""
    if not sample:
        return scores.argmax(-1)
    # Finished rows draw too: the token of a row must not depend on which others have ended.
    probs = scores.new_ones(batch_size, scores.shape[1])  # (first B, V)
    probs[active_rows] = scores.softmax(-1)
    return torch.multinomial(probs, num_samples=1)[active_rows, 0]
