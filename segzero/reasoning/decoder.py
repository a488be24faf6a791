"""Greedy decoding of one prompt by Qwen's language models, in fixed shapes and few operations.

A token of `generate` takes hundreds of small operations, of new shapes each time: these can cost
more than the arithmetic. Here a step has one shape, so that a CUDA graph can replay it, and takes
fewer operations. The prompt and the picture go through transformers' own forward pass.

Shape comments use: C capacity of the cache in tokens, T tokens of a prompt, V vocabulary size, W
tokens of a step. The batch is always 1. W is 1, or more where drafts are verified or text is read.
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from segzero import gpu
from segzero.reasoning import int4
from segzero.reasoning.drafts import Drafts
from segzero.reasoning.fused_model import FusedModel
from segzero.reasoning.kv_cache import KVCache
from segzero.reasoning.prompt_prefix import Prompt
from segzero.reasoning.step_graphs import StepGraphs

_FAMILIES = {"qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text"}
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_WINDOW = 16
"""Tokens of a step that verifies a draft or reads text, where steps have fixed shapes."""
_MARGIN, _HALF_MARGIN = 0.001, 0.1
"""How far the best token must be ahead, in units of the logits' spread, to count in a window. A
step of one token rounds otherwise: closer ones are computed again, alone."""


class Decoder:
    """Continues a prompt as `generate` does without sampling; one prompt at a time.

    Args:
        model: a model of transformers that `supports` accepts. The decoder shares its weights, on
            the device where it is.
        four_bits: compute all but the prompt with the weights of layers and head rounded to four
            bits. These take memory in addition to the full ones. A weight that the kernels don't
            support stays full.
    """

    def __init__(self, model: Any, *, four_bits: bool = False) -> None:
        self._model = model
        self._fused = FusedModel(model, four_bits=four_bits)
        self._picture_tokens = frozenset({model.config.image_token_id, model.config.video_token_id})
        self._margin = _MARGIN if model.dtype == torch.float32 else _HALF_MARGIN
        self._kv_cache: KVCache | None = None
        self._graphs: StepGraphs | None = None
        self._prompt: Prompt | None = None

    def decode(
        self, inputs: Mapping[str, torch.Tensor], config: Any, drafts: Drafts | None = None
    ) -> Iterator[int]:
        """Generate one token after the other. Call it within torch.inference_mode().

        Args:
            inputs: the processor's for one prompt, `input_ids` (1, T) int64 among them.
            config: transformers' generation settings. Those that change the scores (a repetition
                penalty and others) apply.
            drafts: guess tokens, which are then verified together: the same text in fewer steps.
                Settings that change the scores make it idle.

        Yields:
            `config.max_new_tokens` token ids; an end token does not end them.
        """
        ids = inputs["input_ids"]  # (1, T)
        position = ids.shape[1]
        end = position + config.max_new_tokens
        processors = self._model._get_logits_processor(config, position, device=ids.device)
        if processors:
            drafts = None
        if drafts:
            drafts.restart()
        logits = self._prefill(inputs, end)  # (1, V)
        while position < end:
            if processors:
                logits = processors(ids, logits.float())
            token = logits.argmax(-1)  # (1,)
            arrived = gpu.to_host(token)
            ahead = token.is_cuda and not (drafts and drafts.active)
            if ahead:  # the GPU goes on while the caller reads the token
                logits = self._step(token, position)
            number = arrived()
            yield number
            guess = []
            if drafts:
                drafts.push(number)
                guess = drafts.guess()[: end - position - 1]
            if processors:
                ids = torch.cat([ids, token[None]], dim=1)  # (1, T + 1)
            if not ahead and not guess:
                logits = self._step(token, position)
            elif not ahead:
                logits, accepted = self._verify(number, guess, position)
                for number in guess[:accepted]:
                    yield number
                    drafts.push(number)  # type: ignore[union-attr]
                position += accepted
            position += 1

    def logits(self, inputs: Mapping[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        """Compute what follows each of some tokens. Call it within torch.inference_mode().

        Args:
            inputs: as for `decode`.
            tokens: (S,) int64, the prompt's continuation.

        Returns:
            (S, V) logits of the token after each of them.
        """
        length = inputs["input_ids"].shape[1]
        self._prefill(inputs, length + len(tokens))
        rows = [self._step(token[None], at).clone() for at, token in enumerate(tokens, length)]
        return torch.cat(rows)

    def reserve(self, tokens: int) -> None:
        """On a GPU, make room for prompts and answers of this length, and record all steps.

        Args:
            tokens: of the longest prompt and its answer together.
        """
        if self._fused.device.type == "cuda":
            self._require_room(tokens)
        if self._graphs is not None:
            for width in (1, _WINDOW):
                self._graphs.record(width)

    def least_draft(self, most: int = 8) -> int:
        """Measure from how many drafted tokens on verifying them is cheaper than writing them.

        Args:
            most: the longest draft to try.

        Returns:
            That number; `most` and one if no draft pays.
        """
        self._require_room(2 * most)
        single = self._seconds(1)
        drafted = 1
        while drafted <= most and self._seconds(drafted + 1) > 0.9 * (drafted + 1) * single:
            drafted *= 2
        return min(drafted, most + 1)

    def _seconds(self, width: int) -> float:
        """What a step of W tokens takes: the least of a few, or of one that is slow."""
        tokens = torch.zeros(width, dtype=torch.long, device=self._fused.device)
        times: list[float] = []
        while len(times) < 5 and sum(times) < 0.3:
            start = time.perf_counter()
            int(self._step(tokens, 0)[0].argmax())
            times.append(time.perf_counter() - start)
        return min(times)

    def _prefill(self, inputs: Mapping[str, torch.Tensor], max_length: int) -> torch.Tensor:
        """(1, V) logits after the prompt; its keys and values are then in the cache."""
        prompt, known = Prompt.of(inputs), self._prompt
        had = self._kv_cache
        cache = self._require_room(max_length)
        shared = known.shared(prompt, self._picture_tokens) if known and cache is had else 0
        self._prompt = None  # until the cache holds the new one
        if shared:
            logits = self._read(inputs["input_ids"][0, shared:], shared)
        else:
            output = self._model(**inputs, use_cache=True, logits_to_keep=1)
            cache.fill(output.past_key_values.layers)
            cache.rotate(self._model.model.language_model.rotary_emb, self._model.model.rope_deltas)
            logits = output.logits[:, -1]  # (1, 1, V) -> (1, V)
        self._prompt = prompt
        return logits

    def _require_room(self, tokens: int) -> KVCache:
        """The cache, with room for this many tokens and a window beyond them."""
        cache = self._kv_cache
        if cache is None or cache.capacity < tokens + _WINDOW:
            # First, so that the old ones free their memory.
            self._graphs = self._kv_cache = self._prompt = cache = None
            self._kv_cache = cache = self._fused.new_cache(tokens + _WINDOW)
            if cache.slots.is_cuda:
                self._graphs = StepGraphs(partial(self._fused.forward_fixed, cache), cache.slots)
        return cache

    def _read(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """(1, V) logits after some more tokens of a prompt, (S,)."""
        if self._graphs is None:
            length = position + len(tokens)
            cache = self._cache()
            slots = cache.slots[position:length]
            return self._fused.forward(cache, tokens, slots, length, last=True)
        for start in range(0, len(tokens), _WINDOW):
            part = tokens[start : start + _WINDOW]
            logits = self._step(part, position + start)[len(part) - 1 :][:1]
        return logits

    def _verify(self, token: int, guess: list[int], position: int) -> tuple[torch.Tensor, int]:
        """Take a step with a token and those that may follow it.

        Returns:
            logits: (1, V) after the last token that counts.
            accepted: how many of the guessed tokens are what greedy decoding writes.
        """
        slots = self._cache().slots
        tokens = torch.tensor([token, *guess], device=slots.device)  # (W,)
        logits = self._step(tokens, position)[: len(tokens)]  # (W, V)
        best, picks = logits.float().topk(2)  # (W, 2) both
        sure = (best[:, 0] - best[:, 1]) > self._margin * logits.float().std(-1)  # (W,)
        agreed = (picks[:-1, 0] == tokens[1:]) & sure[:-1]  # (W - 1,)
        accepted = int(agreed.long().cumprod(0).sum())
        if sure[accepted]:
            return logits[accepted : accepted + 1], accepted
        return self._step(tokens[accepted : accepted + 1], position + accepted), accepted

    def _step(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """(W, V) logits after each of W tokens, the first of which stands at a slot.

        A graph of a fixed W returns more rows, of which those beyond the tokens mean nothing.
        """
        if self._graphs is not None and self._graphs.usable and len(tokens) <= _WINDOW:
            padding = 0 if len(tokens) == 1 else _WINDOW - len(tokens)
            # What is written beyond the tokens is overwritten before anything attends to it.
            padded = functional.pad(tokens, (0, padding)) if padding else tokens
            logits = self._graphs.replay(padded, position)
            if logits is not None:
                return logits
        cache, length = self._cache(), position + len(tokens)
        return self._fused.forward(cache, tokens, cache.slots[position:length], length)

    def _cache(self) -> KVCache:
        assert self._kv_cache is not None
        return self._kv_cache


def supports(model: Any) -> bool:
    """Whether a model is, by its configuration, one of those that Decoder computes.

    Its linear layers must be ordinary ones, without adapters.

    Args:
        model: any model of transformers.
    """
    config: Any = getattr(getattr(model, "config", None), "text_config", None)
    if config is None or config.model_type not in _FAMILIES or config.hidden_act != "silu":
        return False
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return False
    return all(
        type(module) is nn.Linear
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in _LINEAR and ".visual." not in name
    )


def supports_int4_decoding(model: Any) -> bool:
    """Whether `four_bits` makes a difference to a model.

    Args:
        model: any model of transformers.
    """
    if not supports(model):
        return False
    weights = (
        module.weight
        for name, module in model.named_modules()
        if name.endswith(".gate_proj") and ".visual." not in name
    )
    return any(int4.supports_int4(weight) for weight in weights)
