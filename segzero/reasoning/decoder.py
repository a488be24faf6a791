"""Greedy decoding of one prompt by Qwen's language models, in fixed shapes and few operations.

A token of `generate` takes hundreds of small operations, of new shapes each time: these can cost
more than the arithmetic. Here a step has one shape, so that a CUDA graph can replay it, and takes
fewer operations. The prompt and the picture go through transformers' own forward pass.

A decoder layer is the published one: pre-normalisation by RMSNorm (arXiv 1910.07467), grouped-query
attention (GQA, arXiv 2305.13245) with rotary positions (RoPE, arXiv 2104.09864, in the three
dimensions of M-RoPE, arXiv 2409.12191), and SwiGLU (arXiv 2002.05202).

Shape comments use: L layers, D hidden size, F inner size of the SwiGLU, H query heads, K key-value
heads, d head size, C capacity of the cache in tokens, T tokens to attend to, V vocabulary size.
The batch is always 1 and a step is always one token.

CUDA graphs: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from segzero.reasoning import int4
from segzero.reasoning.int4 import Int4Linear

_LOG = logging.getLogger(__name__)
_FAMILIES = {"qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text"}
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_CAPACITY_STEP = 512
"""The capacity of the cache is a multiple of this many tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class _FusedLayer:
    """Weights of one layer; those that multiply the same input are one matrix.

    Attributes:
        input_norm: (D,) scales of the RMSNorm before attention.
        qkv_proj: ((H + 2K)·d, D).
        qkv_bias: ((H + 2K)·d,), where the model has one (Qwen2-VL and Qwen2.5-VL).
        qk_norm: (H + K, d) scales of the RMSNorm of queries and keys, where the model has them
            (Qwen3-VL).
        o_proj: (D, H·d).
        post_attention_norm: (D,) scales of the RMSNorm before the SwiGLU.
        gate_up_proj: (2F, D).
        down_proj: (D, F).
    """

    input_norm: torch.Tensor
    qkv_proj: torch.Tensor | Int4Linear
    qkv_bias: torch.Tensor | None
    qk_norm: torch.Tensor | None
    o_proj: torch.Tensor | Int4Linear
    post_attention_norm: torch.Tensor
    gate_up_proj: torch.Tensor | Int4Linear
    down_proj: torch.Tensor | Int4Linear


@dataclass(frozen=True, slots=True, eq=False)
class KVCache:
    """Everything that a step reads and writes, at fixed addresses, as a CUDA graph needs it.

    Attributes:
        keys: (L, K, C, d).
        values: (L, K, C, d).
        cos: (C, 1, d) of the rotation of each slot.
        sin: (C, 1, d), the first half of d negated.
        token: (1,) int64, the token to continue from.
        position: (1,) int64, the slot of that token, 0 to C - 1.
        slots: (C,) int64, 0 to C - 1.
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
        """How many tokens fit: C."""
        return len(self.slots)


class Decoder:
    """Continues a prompt as `generate` does without sampling; one prompt at a time.

    Args:
        model: a model of transformers that `supports` accepts. The decoder shares its weights, on
            the device where it is.
        four_bits: compute all but the prompt with the layers' weights rounded to four bits. These
            take memory in addition to the full ones. A weight that the kernels don't support stays
            full.
    """

    def __init__(self, model: Any, *, four_bits: bool = False) -> None:
        self._model = model
        self._four_bits = four_bits
        text = model.model.language_model
        config = text.config
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_size = text.layers[0].self_attn.head_dim
        self._epsilon = config.rms_norm_eps
        self._layers = [self._fuse_layer(layer) for layer in text.layers]
        self._kv_cache: KVCache | None = None
        self._use_graph = text.norm.weight.is_cuda
        self._graph: tuple[torch.cuda.CUDAGraph, torch.Tensor] | None = None

    def decode(self, inputs: Mapping[str, torch.Tensor], config: Any) -> Iterator[int]:
        """Generate one token after the other. Call it within torch.inference_mode().

        Args:
            inputs: the processor's for one prompt, `input_ids` (1, T) int64 among them.
            config: transformers' generation settings. Those that change the scores (a repetition
                penalty and others) apply.

        Yields:
            `config.max_new_tokens` token ids; an end token does not end them.
        """
        ids = inputs["input_ids"]  # (1, T)
        length = ids.shape[1]
        processors = self._model._get_logits_processor(config, length, device=ids.device)
        logits = self._prefill(inputs, config.max_new_tokens)  # (1, V)
        for position in range(length, length + config.max_new_tokens):
            if processors:
                logits = processors(ids, logits.float())
            token = logits.argmax(-1)  # (1,)
            yield int(token)
            if processors:
                ids = torch.cat([ids, token[None]], dim=1)  # (1, T + 1)
            logits = self._step(token, position)  # (1, V)

    def logits(self, inputs: Mapping[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        """Compute what follows each of some tokens. Call it within torch.inference_mode().

        Args:
            inputs: as for `decode`.
            tokens: (S,) int64, the prompt's continuation.

        Returns:
            (S, V) logits of the token after each of them.
        """
        self._prefill(inputs, len(tokens))
        length = inputs["input_ids"].shape[1]
        rows = [self._step(token[None], at).clone() for at, token in enumerate(tokens, length)]
        return torch.cat(rows)

    def _prefill(self, inputs: Mapping[str, torch.Tensor], new_tokens: int) -> torch.Tensor:
        """(1, V) logits after the prompt; its keys and values are then in the cache."""
        output = self._model(**inputs, use_cache=True, logits_to_keep=1)
        length = inputs["input_ids"].shape[1]
        self._fill_cache(output.past_key_values, length, length + new_tokens)
        logits: torch.Tensor = output.logits[:, -1]  # (1, 1, V) -> (1, V)
        return logits

    def _fill_cache(self, prompt_cache: Any, length: int, max_length: int) -> None:
        """Copy the prompt's keys and values into the cache, with room for `max_length` tokens."""
        cache = self._kv_cache
        if cache is None or cache.capacity < max_length:
            self._graph = None
            capacity = -(-max_length // _CAPACITY_STEP) * _CAPACITY_STEP
            self._kv_cache = cache = self._allocate(capacity)
        for index, layer in enumerate(prompt_cache.layers):
            cache.keys[index, :, :length] = layer.keys[0]  # (1, K, T, d) -> (K, T, d)
            cache.values[index, :, :length] = layer.values[0]
        # M-RoPE: a text token has one position in all three dimensions. A picture takes up fewer
        # positions than it has tokens, hence the delta.
        positions = cache.slots + self._model.model.rope_deltas.flatten()  # (C,)
        cos, sin = self._model.model.language_model.rotary_emb(
            cache.keys, positions.expand(3, 1, -1)
        )  # both (1, C, d)
        cache.cos.copy_(cos[0][:, None])  # (C, 1, d)
        cache.sin.copy_(sin[0][:, None])
        cache.sin[..., : self._head_size // 2].neg_()

    def _allocate(self, capacity: int) -> KVCache:
        like = self._layers[0].input_norm
        shape = (len(self._layers), self._kv_heads, capacity, self._head_size)
        # Zeros: attention masks the slots that were never written, but they must not be NaN.
        keys, values = like.new_zeros(shape), like.new_zeros(shape)
        cos, sin = (like.new_zeros(capacity, 1, self._head_size) for _ in range(2))
        token, position = (torch.zeros(1, dtype=torch.long, device=like.device) for _ in range(2))
        slots = torch.arange(capacity, device=like.device)
        return KVCache(keys, values, cos, sin, token, position, slots)

    def _step(self, token: torch.Tensor, position: int) -> torch.Tensor:
        """(1, V) logits after one more token."""
        cache = self._kv_cache
        assert cache is not None
        cache.token.copy_(token)
        cache.position.fill_(position)
        if self._use_graph and self._graph is None:
            self._try_capture(cache)
        if self._graph is None:
            return self._forward(cache, position + 1)
        graph, logits = self._graph
        graph.replay()
        return logits

    def _try_capture(self, cache: KVCache) -> None:
        try:
            self._graph = self._capture(cache)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._use_graph = False
            reason = str(error).partition("\n")[0]
            _LOG.warning("decoding runs without a CUDA graph, it can't be captured: %s", reason)

    def _capture(self, cache: KVCache) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        # Libraries initialise themselves in the first calls. A graph must not contain that.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._forward(cache)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU at the same time.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = self._forward(cache)
        return graph, logits

    def _forward(self, cache: KVCache, length: int | None = None) -> torch.Tensor:
        """(1, V) logits after `cache.token`.

        With a `length`, attention reads that many slots; without, all C of them behind a mask,
        which is one shape for every position.
        """
        text = self._model.model.language_model
        hidden = functional.embedding(cache.token, text.embed_tokens.weight)  # (1,) -> (1, D)
        cos, sin = cache.cos[cache.position], cache.sin[cache.position]  # (1, 1, d)
        mask = None
        if length is None:
            mask = torch.zeros_like(cache.slots, dtype=hidden.dtype)  # (C,)
            mask = mask.masked_fill(cache.slots > cache.position, -torch.inf)[None]  # (1, C)
        keys, values = cache.keys[:, :, :length], cache.values[:, :, :length]  # (L, K, T, d)
        for layer, k_cache, v_cache in zip(self._layers, keys, values, strict=True):
            normed = self._rms_norm(hidden, layer.input_norm)  # (1, D)
            attended = self._attend(layer, normed, k_cache, v_cache, cos, sin, mask, cache.position)
            hidden = _add_linear(hidden, attended, layer.o_proj)  # (1, H·d) -> (1, D)
            normed = self._rms_norm(hidden, layer.post_attention_norm)
            # SwiGLU (arXiv 2002.05202): down(silu(gate(x)) * up(x))
            gate, up = _linear(normed, layer.gate_up_proj).chunk(2, dim=-1)  # (1, F) each
            hidden = _add_linear(hidden, functional.silu(gate) * up, layer.down_proj)  # (1, D)
        hidden = self._rms_norm(hidden, text.norm.weight)
        return cast(torch.Tensor, self._model.lm_head(hidden))  # (1, V)

    def _attend(
        self,
        layer: _FusedLayer,
        hidden: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        position: torch.Tensor,
    ) -> torch.Tensor:
        """(1, H·d) attention of one token, (1, D); writes its key and value to the caches."""
        size, rotated_heads = self._head_size, self._heads + self._kv_heads
        qkv = _linear(hidden, layer.qkv_proj, layer.qkv_bias).view(-1, size)  # (H + 2K, d)
        qk, v = qkv[:rotated_heads], qkv[rotated_heads:]  # (H + K, d), (K, d)
        if layer.qk_norm is not None:
            qk = self._rms_norm(qk) * layer.qk_norm
        # RoPE (arXiv 2104.09864): x·cos + rotate_half(x)·sin. `sin` has the sign of rotate_half.
        rotated = torch.addcmul(qk * cos[0], qk.roll(size // 2, -1), sin[0])  # (H + K, d)
        q, k = rotated[: self._heads], rotated[self._heads :]  # (H, d), (K, d)
        k_cache.index_copy_(1, position, k[:, None])  # (K, 1, d) into (K, T, d)
        v_cache.index_copy_(1, position, v[:, None])
        # GQA (arXiv 2305.13245): the H / K heads that share a key are the rows of one query.
        q = q.view(self._kv_heads, -1, size)  # (K, H / K, d)
        attended = functional.scaled_dot_product_attention(
            q[None], k_cache[None], v_cache[None], attn_mask=mask
        )  # (1, K, H / K, d)
        return attended.view(1, -1)  # (1, H·d)

    def _rms_norm(self, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """RMSNorm (arXiv 1910.07467) over the last dimension; the shape stays."""
        return functional.rms_norm(x, x.shape[-1:], weight, self._epsilon)

    def _fuse_layer(self, layer: Any) -> _FusedLayer:
        """The layer's weights as larger matrices; its own become views of these."""
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        qkv_bias = qk_norm = None
        if attention.q_proj.bias is not None:
            qkv_bias = torch.cat([projection.bias.detach() for projection in projections])
        if hasattr(attention, "q_norm"):
            qk_norm = torch.cat(
                [
                    attention.q_norm.weight.detach().expand(self._heads, -1),  # (d,) -> (H, d)
                    attention.k_norm.weight.detach().expand(self._kv_heads, -1),  # (d,) -> (K, d)
                ]
            )  # (H + K, d)
        return _FusedLayer(
            input_norm=layer.input_layernorm.weight,
            qkv_proj=self._fuse_linears(projections),
            qkv_bias=qkv_bias,
            qk_norm=qk_norm,
            o_proj=self._fuse_linears([attention.o_proj]),
            post_attention_norm=layer.post_attention_layernorm.weight,
            gate_up_proj=self._fuse_linears([mlp.gate_proj, mlp.up_proj]),
            down_proj=self._fuse_linears([mlp.down_proj]),
        )

    @torch.no_grad()
    def _fuse_linears(self, linears: Sequence[nn.Linear]) -> torch.Tensor | Int4Linear:
        """One matrix from several with the same input: (out_i, in) each -> (sum of out_i, in)."""
        weights = [linear.weight for linear in linears]
        fused = torch.cat(weights) if len(weights) > 1 else weights[0].data
        if self._four_bits and int4.supports_int4(fused):
            return Int4Linear(fused)
        # The model's weights become views of it, so that they are in memory once.
        views = torch.split(fused, [len(weight) for weight in weights])
        for linear, view in zip(linears, views, strict=True):
            linear.weight.data = view
        return fused


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


def _linear(
    x: torch.Tensor, weight: torch.Tensor | Int4Linear, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """`x·Wᵀ + bias`: (1, in) -> (1, out)."""
    if isinstance(weight, torch.Tensor):
        return functional.linear(x, weight, bias)
    product = weight(x)
    return product if bias is None else product + bias


def _add_linear(
    residual: torch.Tensor, x: torch.Tensor, weight: torch.Tensor | Int4Linear
) -> torch.Tensor:
    """`residual + x·Wᵀ`, one operation where there is one: (1, out), (1, in) -> (1, out)."""
    if isinstance(weight, torch.Tensor):
        return torch.addmm(residual, x, weight.t())
    return residual + weight(x)
