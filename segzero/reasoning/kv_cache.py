"""What a step of decoding reads and writes, at fixed addresses, as a CUDA graph needs it.

Shape comments use: L layers, K key-value heads, d head size, C capacity in tokens, T tokens of a
prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

CAPACITY_STEP = 512
"""The capacity of a cache is a multiple of this many tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class KVCache:
    """Keys and values of the tokens so far, and where each token stands.

    Attributes:
        keys: (L, K, C, d).
        values: (L, K, C, d).
        cos: (C, 1, d) of the rotation of each slot.
        sin: (C, 1, d), the first half of d negated.
        slots: (C,) int64, 0 to C - 1.
    """

    keys: torch.Tensor
    values: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    slots: torch.Tensor

    @classmethod
    def allocate(
        cls, layers: int, kv_heads: int, head_size: int, tokens: int, like: torch.Tensor
    ) -> "KVCache":
        """Make an empty cache.

        Args:
            layers: L.
            kv_heads: K.
            head_size: d.
            tokens: The least capacity.
            like: Of the type and on the device of the cache.

        Returns:
            The cache.
        """
        capacity = -(-tokens // CAPACITY_STEP) * CAPACITY_STEP
        shape = (layers, kv_heads, capacity, head_size)
        # Zeros: attention masks the slots that were never written, but they must not be NaN.
        keys, values = like.new_zeros(shape), like.new_zeros(shape)
        cos, sin = (like.new_zeros(capacity, 1, head_size) for _ in range(2))
        return cls(keys, values, cos, sin, torch.arange(capacity, device=like.device))

    @property
    def capacity(self) -> int:
        """How many tokens fit: C."""
        return len(self.slots)

    def fill(self, prompt_layers: Sequence[Any]) -> None:
        """Copy a prompt's keys and values, (1, K, T, d) each, from transformers' cache."""
        length = prompt_layers[0].keys.shape[2]
        for index, layer in enumerate(prompt_layers):
            self.keys[index, :, :length] = layer.keys[0]  # (1, K, T, d) -> (K, T, d)
            self.values[index, :, :length] = layer.values[0]

    def rotate(self, rotary_emb: Any, delta: torch.Tensor) -> None:
        """Set the rotation of each slot.

        M-RoPE: a text token has one position in all three dimensions. A picture takes up fewer
        positions than it has tokens, hence the delta.

        Args:
            rotary_emb: The language model's own.
            delta: (1, 1) int64, the position of a text token less its slot.
        """
        positions = self.slots + delta.flatten()  # (C,)
        cos, sin = rotary_emb(self.keys, positions.expand(3, 1, -1))  # both (1, C, d)
        self.cos.copy_(cos[0][:, None])  # (C, 1, d)
        self.sin.copy_(sin[0][:, None])
        self.sin[..., : self.sin.shape[-1] // 2].neg_()
