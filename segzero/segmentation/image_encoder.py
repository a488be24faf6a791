"""SAM 2's image encoder on a loaded model's weights: its own forward pass in less work.

For each picture transformers' pass interpolates positions that never change, makes encodings that
nobody looks at and, in every block, attention weights that it doesn't use. The features are the
same, bit for bit. Hiera: arXiv 2306.00989; its windows of absolute positions: arXiv 2311.05613.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Pictures as the encoder hands them on: (B, C, h, w) each, from fine to coarse."""

    high_res_0: torch.Tensor
    high_res_1: torch.Tensor
    image_embed: torch.Tensor

    def expand(self, count: int) -> "Features":
        """One picture, looked at for so many objects."""
        levels = (self.high_res_0, self.high_res_1, self.image_embed)
        return Features(*(level.expand(count, -1, -1, -1) for level in levels))


class ImageEncoder:
    """Encodes pictures as `model.get_image_features` does; any number of threads may call it."""

    def __init__(self, model: Any) -> None:
        """Share the weights of a Sam2Model or Sam2VideoModel, which may not change any more."""
        self._backbone, self._neck = model.vision_encoder.backbone, model.vision_encoder.neck
        self._conv_s0, self._conv_s1 = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        rows, columns = self._backbone.config.image_size
        stride_y, stride_x = self._backbone.config.patch_stride
        with torch.no_grad():
            places = self._backbone._get_pos_embed((rows // stride_y, columns // stride_x))
        self._places = places.contiguous()

    def __call__(self, pixels: torch.Tensor) -> Features:
        """Features of (B, 3, S, S) pixel values, for the mask decoder; without gradients."""
        with torch.no_grad():
            high_res_0, high_res_1, image_embed, *_ = self._merge(self._stages(pixels))
            return Features(self._conv_s0(high_res_0), self._conv_s1(high_res_1), image_embed)

    def _stages(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What each stage of the backbone ends with, (B, h, w, C), from fine to coarse."""
        hidden = self._backbone.patch_embed(pixels) + self._places
        ends = []
        for number, block in enumerate(self._backbone.blocks):
            hidden = _pass(block, hidden)
            if number in self._backbone.stage_ends:
                ends.append(hidden)
        return ends

    def _merge(self, stages: list[torch.Tensor]) -> list[torch.Tensor]:
        """The feature pyramid: (B, C, h, w) of one width, the coarse added to finer ones."""
        levels: list[torch.Tensor] = []
        for number in reversed(range(len(stages))):
            convolve = self._neck.convs[len(stages) - 1 - number]
            level = convolve(stages[number].permute(0, 3, 1, 2))
            if levels and number in self._neck.fpn_top_down_levels:
                level = level + functional.interpolate(levels[0], scale_factor=2.0)
            levels.insert(0, level)
        return levels


def _pass(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """A block of Hiera on (B, h, w, C): attention, in windows or all over, then an MLP."""
    normed = block.layer_norm1(hidden)
    if block.dim != block.dim_out:
        hidden = _pool(block.proj(normed), block.query_stride)
    if side := block.window_size:
        windows = _split(normed, side)
        attended = _attend(block.attn, windows.flatten(0, 2), block.query_stride)
        attended = _join(attended.unflatten(0, windows.shape[:3]), hidden.shape[1:3])
    else:
        attended = _attend(block.attn, normed, block.query_stride)
    hidden = hidden + attended
    mlp = block.mlp
    return hidden + mlp.proj_out(mlp.activation(mlp.proj_in(block.layer_norm2(hidden))))


def _attend(attention: Any, hidden: torch.Tensor, stride: tuple[int, int] | None) -> torch.Tensor:
    """Attention within each of N (h, w, C) windows; with a stride, queries are pooled by it."""
    height, width = hidden.shape[1:3]
    qkv = attention.qkv(hidden).flatten(1, 2)
    query, key, value = qkv.unflatten(-1, (3, attention.num_attention_heads, -1)).unbind(2)
    if stride:
        pooled = _pool(query.flatten(2).unflatten(1, (height, width)), stride)
        height, width = pooled.shape[1:3]
        query = pooled.flatten(1, 2).unflatten(-1, (attention.num_attention_heads, -1))
    attended = functional.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    )
    return attention.proj(attended.transpose(1, 2).flatten(2).unflatten(1, (height, width)))


def _pool(hidden: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """The highest of each `stride` block of (N, h, w, C)."""
    pooled = functional.max_pool2d(hidden.permute(0, 3, 1, 2), kernel_size=stride, stride=stride)
    return pooled.permute(0, 2, 3, 1)


def _split(hidden: torch.Tensor, side: int) -> torch.Tensor:
    """(B, h, w, C) to windows (B, rows, columns, side, side, C), padded with zeros."""
    height, width = hidden.shape[1:3]
    if height % side or width % side:
        hidden = functional.pad(hidden, (0, 0, 0, -width % side, 0, -height % side))
    windows = hidden.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    return windows.transpose(2, 3)


def _join(windows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Windows (B, rows, columns, side, side, C) to (B, h, w, C) of this shape, without padding."""
    hidden = windows.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return hidden[:, : shape[0], : shape[1]]
