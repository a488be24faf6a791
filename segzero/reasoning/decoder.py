"""Greedy decoding of one prompt by Qwen's language models, in fixed shapes and few operations.

A token of `generate` takes hundreds of small operations, of new shapes each time: these can cost
more than the arithmetic. Here a step has one shape, so that a GPU can replay it as a graph, and
takes fewer operations. Of the prompt and the picture, transformers' own forward pass takes care. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from segzero.reasoning import int4
from segzero.reasoning.int4 import Int4Linear

_LOG = logging.getLogger(__name__)
_FAMILIES = {"qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text"}
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_CAPACITY = 512
"""Tokens by which the memory for keys and values grows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Weights of a layer, those that multiply the same input in one piece.

    heads: (heads + key heads, head size) scales of queries and keys, where the model has such.
    """

    before: torch.Tensor
    qkv: torch.Tensor | Int4Linear
    bias: torch.Tensor | None
    heads: torch.Tensor | None
    out: torch.Tensor | Int4Linear
    after: torch.Tensor
    gate_up: torch.Tensor | Int4Linear
    down: torch.Tensor | Int4Linear


@dataclass(frozen=True, slots=True, eq=False)
class KVCache:
    """Everything that a step reads and writes, at addresses that stay.

    keys, values: (layers, key heads, C, head size) for a capacity of C tokens. cos, sin: (C, 1,
    head size) rotations, the first half of sin negated. token, place: (1,) int64, the token to go
    on from and where in C it belongs.
    """

    keys: torch.Tensor
    values: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    token: torch.Tensor
    position: torch.Tensor
    slots: torch.Tensor

    @property
    def capacity(self) -> int:
        return len(self.slots)


class Decoder:
    """Goes on from a prompt as `generate` does without sampling; one prompt at a time."""

    def __init__(self, model: Any, *, four_bits: bool = False) -> None:
        """Share the weights of a model that `suits`, on the device where it is.

        four_bits: read the layers' weights rounded to four bits for all but the prompt. They lie in
        memory beside the others; a weight whose shape or type the kernels don't take stays.
        """
        self._model = model
        self._four_bits = four_bits
        text = model.model.language_model
        config = text.config
        self._heads, self._key_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_size = text.layers[0].self_attn.head_dim
        self._epsilon = config.rms_norm_eps
        self._layers = [self._fuse_layer(layer) for layer in text.layers]
        self._state: KVCache | None = None
        self._replays = text.norm.weight.is_cuda
        self._graph: tuple[torch.cuda.CUDAGraph, torch.Tensor] | None = None

    def decode(self, inputs: Mapping[str, torch.Tensor], config: Any) -> Iterator[int]:
        """Yield one token after the other, at most `config.max_new_tokens`, and never stop before.

        inputs: the processor's for one prompt. config: transformers' generation settings; those
        that change the scores (a repetition penalty, …) hold. Within torch.inference_mode().
        """
        ids = inputs["input_ids"]
        found = self._model(**inputs, use_cache=True, logits_to_keep=1)
        length = ids.shape[1]
        processors = self._model._get_logits_processor(config, length, device=ids.device)
        self._prefill(found.past_key_values, length, length + config.max_new_tokens)
        logits = found.logits[:, -1]
        for position in range(length, length + config.max_new_tokens):
            if processors:
                logits = processors(ids, logits.float())
            token = logits.argmax(-1)
            yield int(token)
            if processors:
                ids = torch.cat([ids, token[None]], dim=1)
            logits = self._step(token, position)

    def _prefill(self, cache: Any, length: int, max_length: int) -> None:
        """Take over what the forward pass of the prompt left; `room` tokens have to fit."""
        state = self._state
        if state is None or state.capacity < max_length:
            self._graph = None
            self._state = state = self._allocate(-(-max_length // _CAPACITY) * _CAPACITY)
        for index, layer in enumerate(cache.layers):
            state.keys[index, :, :length] = layer.keys[0]
            state.values[index, :, :length] = layer.values[0]
        # Text has the same position in all three dimensions, the picture fewer than tokens.
        positions = state.slots + self._model.model.rope_deltas.flatten()
        cos, sin = self._model.model.language_model.rotary_emb(
            state.keys, positions.expand(3, 1, -1)
        )
        state.cos.copy_(cos[0][:, None])
        state.sin.copy_(sin[0][:, None])
        state.sin[..., : self._head_size // 2].neg_()

    def _allocate(self, capacity: int) -> KVCache:
        weights = self._layers[0].before
        shape = (len(self._layers), self._key_heads, capacity, self._head_size)
        # Zeros: what was never written is masked, but may not be NaN.
        keys, values = weights.new_zeros(shape), weights.new_zeros(shape)
        cos, sin = (weights.new_zeros(capacity, 1, self._head_size) for _ in range(2))
        token, position = (
            torch.zeros(1, dtype=torch.long, device=weights.device) for _ in range(2)
        )
        slots = torch.arange(capacity, device=weights.device)
        return KVCache(keys, values, cos, sin, token, position, slots)

    def _step(self, token: torch.Tensor, position: int) -> torch.Tensor:
        """(1, vocabulary) logits after one more token."""
        state = self._state
        assert state is not None
        state.token.copy_(token)
        state.position.fill_(position)
        if self._replays and self._graph is None:
            self._record(state)
        if self._graph is None:
            return self._forward(state, position + 1)
        graph, logits = self._graph
        graph.replay()
        return logits

    def _record(self, state: KVCache) -> None:
        try:
            self._graph = self._capture(state)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._replays = False
            reason = str(error).partition("\n")[0]
            _LOG.warning("writes without a GPU graph, which can't be recorded: %s", reason)

    def _capture(self, state: KVCache) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        # Libraries set themselves up in the first calls, which a graph must not contain.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._forward(state)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = self._forward(state)
        return graph, logits

    def _forward(self, state: KVCache, length: int | None = None) -> torch.Tensor:
        """Logits after `state.token`; a known `length` of the text so far saves looking at more."""
        text = self._model.model.language_model
        width = text.config.hidden_size
        hidden = functional.embedding(state.token, text.embed_tokens.weight)
        cos, sin = state.cos[state.position], state.sin[state.position]
        mask = None
        if length is None:
            mask = torch.zeros_like(state.slots, dtype=hidden.dtype)
            mask = mask.masked_fill(state.slots > state.position, -torch.inf)[None]
        memories = (memory[:, :, :length].unbind() for memory in (state.keys, state.values))
        for layer, keys, values in zip(self._layers, *memories, strict=True):
            inner = functional.rms_norm(hidden, (width,), layer.before, self._epsilon)
            attended = self._attend(layer, inner, keys, values, cos, sin, mask, state.position)
            hidden = _add_product(hidden, attended, layer.out)
            inner = functional.rms_norm(hidden, (width,), layer.after, self._epsilon)
            gate, up = _multiply(inner, layer.gate_up).chunk(2, dim=-1)
            hidden = _add_product(hidden, functional.silu(gate) * up, layer.down)
        hidden = functional.rms_norm(hidden, (width,), text.norm.weight, self._epsilon)
        return self._model.lm_head(hidden)

    def _attend(
        self,
        layer: _Layer,
        hidden: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        position: torch.Tensor,
    ) -> torch.Tensor:
        size, turning = self._head_size, self._heads + self._key_heads
        qkv = _multiply(hidden, layer.qkv, layer.bias).view(-1, size)
        rotated, value = qkv[:turning], qkv[turning:]
        if layer.heads is not None:
            rotated = functional.rms_norm(rotated, (size,), None, self._epsilon) * layer.heads
        rotated = torch.addcmul(rotated * cos[0], rotated.roll(size // 2, -1), sin[0])
        keys.index_copy_(1, position, rotated[self._heads :, None])
        values.index_copy_(1, position, value[:, None])
        # Heads that share keys are rows of one query.
        query = rotated[: self._heads].view(self._key_heads, -1, size)
        attended = functional.scaled_dot_product_attention(
            query[None], keys[None], values[None], attn_mask=mask
        )
        return attended.view(1, -1)

    def _fuse_layer(self, layer: Any) -> _Layer:
        """The layer's weights in larger pieces, of which its own become parts."""
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        bias = heads = None
        if attention.q_proj.bias is not None:
            bias = torch.cat([projection.bias.detach() for projection in projections])
        if hasattr(attention, "q_norm"):
            heads = torch.cat(
                [
                    attention.q_norm.weight.detach().expand(self._heads, -1),
                    attention.k_norm.weight.detach().expand(self._key_heads, -1),
                ]
            )
        return _Layer(
            before=layer.input_layernorm.weight,
            qkv=self._fuse_linears(projections),
            bias=bias,
            heads=heads,
            out=self._fuse_linears([attention.o_proj]),
            after=layer.post_attention_layernorm.weight,
            gate_up=self._fuse_linears([mlp.gate_proj, mlp.up_proj]),
            down=self._fuse_linears([mlp.down_proj]),
        )

    @torch.no_grad()
    def _fuse_linears(self, linears: Sequence[nn.Linear]) -> torch.Tensor | Int4Linear:
        """One matrix from several of the same input."""
        weights = [linear.weight for linear in linears]
        joined = torch.cat(weights) if len(weights) > 1 else weights[0].data
        if self._four_bits and int4.supports_int4(joined):
            return Int4Linear(joined)
        # They become views of it, so that weights lie in memory once.
        parts = joined.split([len(weight) for weight in weights])
        for linear, part in zip(linears, parts, strict=True):
            linear.weight.data = part
        return joined


def supports(model: Any) -> bool:
    """Whether a model is one of those that Decoder computes, with ordinary weights."""
    text: Any = getattr(getattr(model, "model", None), "language_model", None)
    config = getattr(text, "config", None)
    if config is None or config.model_type not in _FAMILIES or config.hidden_act != "silu":
        return False
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return False
    return all(
        type(module) is nn.Linear
        for name, module in text.named_modules()
        if name.rpartition(".")[2] in _LINEAR
    )


def supports_int4_decoding(model: Any) -> bool:
    """Whether `four_bits` makes a difference to a model."""
    return supports(model) and int4.supports_int4(
        model.model.language_model.layers[0].mlp.gate_proj.weight
    )


def _multiply(
    hidden: torch.Tensor, weight: torch.Tensor | Int4Linear, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """(N, in) times a weight, to (N, out)."""
    if isinstance(weight, torch.Tensor):
        return functional.linear(hidden, weight, bias)
    product = weight(hidden)
    return product if bias is None else product + bias


def _add_product(
    hidden: torch.Tensor, inner: torch.Tensor, weight: torch.Tensor | Int4Linear
) -> torch.Tensor:
    """What `inner` times a weight adds to `hidden`, in one operation where there is one."""
    if isinstance(weight, torch.Tensor):
        return torch.addmm(hidden, inner, weight.t())
    return hidden + weight(inner)
