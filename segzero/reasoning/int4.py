"""Group-wise int4 weights: a token reads a quarter of the bytes, for a little less accuracy.

Each group of 64 weights of one output has its own scale and offset (asymmetric round-to-nearest, as
in gpt-fast). Layout and kernels are PyTorch's own: CPUs, and GPUs of sm80 and newer in bfloat16.
"""

from typing import cast

import torch

_GROUP = 64
_LEVELS = 16
_TILES = 8
"""Tiles of 16 inputs that the GPU's kernel reads at a time."""


class Int4Linear:
    """A linear layer without bias whose weight is rounded to four bits.

    Args:
        weight: (out, in), of a shape and a type that `supports_int4` accepts. It isn't kept.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        groups = weight.float().view(len(weight), -1, _GROUP)  # (out, in) -> (out, G, 64)
        low, high = groups.aminmax(dim=-1)  # (out, G) each
        # weight ≈ low + scale·level. The kernels compute it as middle + scale·(level - 8).
        scale = (high - low).clamp(min=1e-6) / (_LEVELS - 1)  # (out, G)
        middle = low + scale * (_LEVELS // 2)
        levels = ((groups - low[..., None]) / scale[..., None]).round()  # (out, G, 64), 0 to 15
        levels = levels.flatten(1).int()  # (out, in)
        scales = torch.stack([scale, middle], dim=-1)  # (out, G, 2)
        self._scales = scales.transpose(0, 1).to(weight.dtype).contiguous()  # (G, out, 2)
        if weight.is_cuda:
            pairs = (levels[:, ::2] << 4 | levels[:, 1::2]).to(torch.uint8)  # (out, in / 2)
            self._packed = torch.ops.aten._convert_weight_to_int4pack(pairs, _TILES)
            self._kernel = torch.ops.aten._weight_int4pack_mm
        else:
            self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1)
            self._kernel = torch.ops.aten._weight_int4pack_mm_for_cpu

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """`x·Wᵀ`: (N, in) -> (N, out), in the type of the weight."""
        return cast(torch.Tensor, self._kernel(x, self._packed, _GROUP, self._scales))

    @property
    def nbytes(self) -> int:
        """Bytes that a call reads."""
        return cast(int, self._packed.nbytes) + self._scales.nbytes


def supports_int4(weight: torch.Tensor) -> bool:
    """Whether the kernels accept a weight of this shape and type.

    Args:
        weight: (out, in).
    """
    rows, columns = weight.shape
    if weight.is_cuda:
        return weight.dtype == torch.bfloat16 and not rows % 8 and not columns % (16 * _TILES)
    return not rows % 16 and not columns % _GROUP
