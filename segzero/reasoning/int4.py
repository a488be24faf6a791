"""Weights of four bits: a quarter of what a token reads, for a little less accuracy.

Each group of weights that meet the same inputs has its own scale and offset; the layout and the
kernels are PyTorch's own (on a GPU: sm80 and newer, bfloat16).
"""

import torch

_GROUP = 64
_LEVELS = 16
_TILES = 8
"""Of 16 inputs each, which the GPU's kernel takes at a time."""


class Int4Linear:
    """A linear layer without bias: the weights rounded to four bits, everything else as it was."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Round a weight that `fits`, (out, in); it isn't kept."""
        groups = weight.float().unflatten(1, (-1, _GROUP))
        low, high = groups.aminmax(dim=-1)
        # The lowest is level 0; the kernels count the levels from the middle.
        scale = (high - low).clamp(min=1e-6) / (_LEVELS - 1)
        middle = low + scale * (_LEVELS // 2)
        levels = ((groups - low[..., None]) / scale[..., None]).round().flatten(1).int()
        self._scales = torch.stack([scale, middle], dim=-1).transpose(0, 1).to(weight.dtype)
        self._scales = self._scales.contiguous()
        if weight.is_cuda:
            pairs = (levels[:, ::2] << 4 | levels[:, 1::2]).to(torch.uint8)
            self._packed = torch.ops.aten._convert_weight_to_int4pack(pairs, _TILES)
            self._multiply = torch.ops.aten._weight_int4pack_mm
        else:
            self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1)
            self._multiply = torch.ops.aten._weight_int4pack_mm_for_cpu

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, in) to (N, out)."""
        return self._multiply(hidden, self._packed, _GROUP, self._scales)

    @property
    def nbytes(self) -> int:
        """Bytes that a call reads."""
        return self._packed.nbytes + self._scales.nbytes


def supports_int4(weight: torch.Tensor) -> bool:
    """Whether the kernels take a weight of this shape and type."""
    rows, columns = weight.shape
    if weight.is_cuda:
        return weight.dtype == torch.bfloat16 and not rows % 8 and not columns % (16 * _TILES)
    return not rows % 16 and not columns % _GROUP
