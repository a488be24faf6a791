"""A step of Qwen's language models, of one or several tokens, in few operations.

A decoder layer is the published one: pre-normalisation by RMSNorm (arXiv 1910.07467), grouped-query
attention (GQA, arXiv 2305.13245) with rotary positions (RoPE, arXiv 2104.09864, in the three
dimensions of M-RoPE, arXiv 2409.12191), and SwiGLU (arXiv 2002.05202).

Shape comments use: D hidden size, F inner size of the SwiGLU, L layers, H query heads, K key-value
heads, d head size, C capacity of the cache in tokens, T slots to attend to, V vocabulary size, W
tokens of a step. The batch is always 1.
"""

from typing import Any

import torch
from torch.nn import functional

from segzero.reasoning.fused_layers import FusedLayer, add_linear, fuse_head, fuse_layers, linear
from segzero.reasoning.kv_cache import KVCache


class FusedModel:
    """The language model of a loaded model, which shares its weights.

    Args:
        model: Of transformers; one that `decoder.supports` accepts.
        four_bits: See `Decoder`.
    """

    def __init__(self, model: Any, *, four_bits: bool) -> None:
        self._text = text = model.model.language_model
        config = text.config
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_size = text.layers[0].self_attn.head_dim
        self._epsilon = config.rms_norm_eps
        self.layers = fuse_layers(text, four_bits=four_bits)
        self.head = fuse_head(model.lm_head, four_bits=four_bits)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.layers[0].input_norm.device

    def new_cache(self, tokens: int) -> KVCache:
        """An empty cache with room for this many tokens at least."""
        return KVCache.allocate(
            len(self.layers), self._kv_heads, self._head_size, tokens, self.layers[0].input_norm
        )

    def forward_fixed(
        self, cache: KVCache, tokens: torch.Tensor, slots: torch.Tensor, length: int
    ) -> torch.Tensor:
        """As `forward`, in one shape for all slots below the length."""
        visible = cache.slots[:length] <= slots[:, None]  # (W, T)
        return self.forward(cache, tokens, slots, length, visible)

    def forward(
        self,
        cache: KVCache,
        tokens: torch.Tensor,
        slots: torch.Tensor,
        length: int,
        visible: torch.Tensor | None = None,
        *,
        last: bool = False,
    ) -> torch.Tensor:
        """(W, V) logits after each of W tokens, or (1, V) after the last one.

        Args:
            cache: The earlier tokens'; theirs are added.
            tokens: (W,) int64.
            slots: (W,) int64, where they stand.
            length: T, how many slots attention reads.
            visible: (W, T) bool, which of them each token attends to. None: the last token to
                all, the one before to all but the last, and so on.
            last: compute no logits but the last token's.
        """
        text, width = self._text, len(tokens)
        hidden = functional.embedding(tokens, text.embed_tokens.weight)  # (W,) -> (W, D)
        cos, sin = cache.cos[slots], cache.sin[slots]  # (W, 1, d)
        mask = None
        if visible is None and width > 1:
            visible = cache.slots[:length] <= slots[:, None]  # (W, T)
        if visible is not None:
            mask = torch.zeros_like(visible, dtype=hidden.dtype).masked_fill(~visible, -torch.inf)
            # The rows of a query are those of `_attend`: (W, T) -> (W·H / K, T)
            mask = mask.repeat_interleave(self._heads // self._kv_heads, dim=0)
        keys, values = cache.keys[:, :, :length], cache.values[:, :, :length]  # (L, K, T, d)
        for layer, k_cache, v_cache in zip(self.layers, keys, values, strict=True):
            normed = self._rms_norm(hidden, layer.input_norm)  # (W, D)
            attended = self._attend(layer, normed, k_cache, v_cache, cos, sin, mask, slots)
            hidden = add_linear(hidden, attended, layer.o_proj)  # (W, H·d) -> (W, D)
            normed = self._rms_norm(hidden, layer.post_attention_norm)
            # SwiGLU (arXiv 2002.05202): down(silu(gate(x)) * up(x))
            gate, up = linear(normed, layer.gate_up_proj).chunk(2, dim=-1)  # (W, F) each
            hidden = add_linear(hidden, functional.silu(gate) * up, layer.down_proj)  # (W, D)
        hidden = self._rms_norm(hidden[-1:] if last else hidden, text.norm.weight)
        return linear(hidden, self.head)  # (W, V)

    def _attend(
        self,
        layer: FusedLayer,
        hidden: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        slots: torch.Tensor,
    ) -> torch.Tensor:
        """(W, H·d) attention of W tokens, (W, D); writes their keys and values to the caches."""
        size, rotated_heads, width = self._head_size, self._heads + self._kv_heads, len(hidden)
        qkv = linear(hidden, layer.qkv_proj, layer.qkv_bias).view(width, -1, size)
        qk, v = qkv[:, :rotated_heads], qkv[:, rotated_heads:]  # (W, H + K, d), (W, K, d)
        if layer.qk_norm is not None:
            qk = self._rms_norm(qk) * layer.qk_norm
        # RoPE (arXiv 2104.09864): x·cos + rotate_half(x)·sin. `sin` has the sign of rotate_half.
        rotated = torch.addcmul(qk * cos, qk.roll(size // 2, -1), sin)  # (W, H + K, d)
        q, k = rotated[:, : self._heads], rotated[:, self._heads :]  # (W, H, d), (W, K, d)
        k_cache.index_copy_(1, slots, k.transpose(0, 1))  # (K, W, d) into (K, T, d)
        v_cache.index_copy_(1, slots, v.transpose(0, 1))
        # GQA (arXiv 2305.13245): the H / K heads that share a key are the rows of one query.
        if width == 1:
            q = q.view(self._kv_heads, -1, size)  # (K, H / K, d)
        else:  # (W, H, d) -> (W, K, H / K, d) -> (K, W·H / K, d)
            q = q.view(width, self._kv_heads, -1, size).transpose(0, 1).flatten(1, 2)
        attended = functional.scaled_dot_product_attention(
            q[None], k_cache[None], v_cache[None], attn_mask=mask
        )  # (1, K, W·H / K, d)
        if width > 1:  # (K, W·H / K, d) -> (W, K, H / K, d)
            attended = attended.view(self._kv_heads, width, -1, size).transpose(0, 1)
        return attended.reshape(width, -1)  # (W, H·d)

    def _rms_norm(self, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """RMSNorm (arXiv 1910.07467) over the last dimension; the shape stays."""
        return functional.rms_norm(x, x.shape[-1:], weight, self._epsilon)
