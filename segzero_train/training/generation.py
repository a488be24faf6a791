"""Generation for groups of samples: a prompt is read once, and a row that has ended leaves.

transformers' `generate` reads every copy of a prompt, image included, and goes on with all rows
until the longest has ended.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMode

from segzero_train.training.images import distinct, split_images

_TEXT = ("input_ids", "attention_mask", "mm_token_type_ids")
"""Inputs of shape (rows, tokens)."""


def shared_prefill(model: Any) -> None:
    """Let `model.generate` read equal prompts once, and drop rows as they end.

    It draws the same random numbers as before: seeded alike it writes the same text, but where
    rounding (sums of a smaller batch) decides between two tokens. Whatever isn't plain sampling or
    greedy decoding stays as it was.
    """
    model.generate = partial(_generate, model.generate)


def _generate(plain: Callable[..., Any], **inputs: Any) -> torch.Tensor:
    config: GenerationConfig = inputs["generation_config"]
    modes = (GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH)
    if config.get_generation_mode() not in modes or config.cache_implementation:
        return plain(**inputs)
    prompts, copies = _prompts(inputs)
    return plain(**inputs | prompts, custom_generate=partial(_decode, copies=copies))


def _prompts(inputs: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The distinct prompts, each with one image, and for every row (B,) which of them it is."""
    images = split_images(inputs["pixel_values"], inputs["image_grid_thw"])
    _, image_of = distinct(images)
    text = torch.cat([inputs[key] for key in _TEXT], dim=1)
    kept, copies = distinct(list(torch.cat([text, image_of[:, None].to(text)], dim=1)))
    prompts = {key: inputs[key][kept] for key in (*_TEXT, "image_grid_thw")}
    prompts["pixel_values"] = torch.cat([images[k] for k in kept])
    return prompts, copies.to(text.device)


def _decode(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: GenerationConfig,
    *,
    copies: torch.Tensor,
    synced_gpus: bool = False,
    **state: Any,
) -> torch.Tensor:
    """(B, prompt + completion) ids, padded after a row's end; a decoding method of `generate`."""
    found = model(
        **model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **state),
        return_dict=True,
    )
    state = _select(model._update_model_kwargs_for_generation(found, state), copies)
    ids, logits = input_ids[copies], found.logits[copies, -1]
    ended = list(ids)
    rows = torch.arange(len(copies), device=ids.device)
    while True:
        scores = logits_processor(ids, logits.float())
        chosen = _choose(scores, rows, len(copies), generation_config.do_sample)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        done = stopping_criteria(ids, scores)
        for row in done.nonzero().flatten().tolist():
            ended[int(rows[row])] = ids[row]
        if done.all():
            break
        if done.any():
            writing = (~done).nonzero().flatten()
            rows, ids, state = rows[writing], ids[writing], _select(state, writing)
        inputs = model.prepare_inputs_for_generation(ids, next_sequence_length=1, **state)
        found = model(**inputs, return_dict=True)
        state = model._update_model_kwargs_for_generation(found, state)
        logits = found.logits[:, -1]
    return torch.nn.utils.rnn.pad_sequence(
        ended, batch_first=True, padding_value=generation_config.pad_token_id
    )


def _select(state: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """What the next step needs, for these rows alone."""
    state = dict(state)
    state["past_key_values"].batch_select_indices(rows)
    for key in _TEXT[1:]:
        if state.get(key) is not None:
            state[key] = state[key][rows]
    # (axes, rows, tokens): text has one place on each axis of an image.
    state["position_ids"] = state["position_ids"][:, rows]
    return state


def _choose(scores: torch.Tensor, rows: torch.Tensor, count: int, sample: bool) -> torch.Tensor:
    """A token for each of the rows, which are some of `count`."""
    if not sample:
        return scores.argmax(-1)
    # Drawn for rows that have left, too: what a row draws mustn't depend on the others.
    chances = scores.new_ones(count, scores.shape[1])
    chances[rows] = scores.softmax(-1)
    return torch.multinomial(chances, num_samples=1)[rows, 0]
