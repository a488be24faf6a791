"""SAM 2's image encoder on a loaded model's weights: the same forward pass in less work.

For each image, transformers' pass interpolates a position encoding that never changes, makes
encodings that nothing reads and, in every block, attention weights that nothing uses. The features
are the same, bit for bit.

Sources: Hiera (arXiv 2306.00989), its position embedding per window (arXiv 2311.05613), the feature
pyramid with skip connections to the mask decoder (SAM 2, arXiv 2408.00714, section 4 and figure 9).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of B images for the mask decoder, S the side of the model's image.

    Attributes:
        high_res_0: (B, C/8, S/4, S/4), a skip connection.
        high_res_1: (B, C/4, S/8, S/8), a skip connection.
        image_embed: (B, C, S/16, S/16), the image embedding.
    """

    high_res_0: torch.Tensor
    high_res_1: torch.Tensor
    image_embed: torch.Tensor

    def expand(self, count: int) -> "Features":
        """Repeat the features of one image for `count` objects, without a copy."""
        levels = (self.high_res_0, self.high_res_1, self.image_embed)
        return Features(*(level.expand(count, -1, -1, -1) for level in levels))

    def split(self) -> "list[Features]":
        """The features of each image alone, without a copy."""
        levels = (self.high_res_0, self.high_res_1, self.image_embed)
        count = len(self.image_embed)
        return [Features(*(level[i : i + 1] for level in levels)) for i in range(count)]


class ImageEncoder:
    """Encodes images as `model.get_image_features` does; any number of threads may call it."""

    def __init__(self, model: Any) -> None:
        """Share the weights of a model.

        Args:
            model: a Sam2Model or Sam2VideoModel, whose weights must not change any more.
        """
        self._backbone, self._neck = model.vision_encoder.backbone, model.vision_encoder.neck
        self._conv_s0, self._conv_s1 = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        rows, columns = self._backbone.config.image_size
        stride_y, stride_x = self._backbone.config.patch_stride
        with torch.no_grad():
            pos_embed = self._backbone._get_pos_embed((rows // stride_y, columns // stride_x))
        self._pos_embed = pos_embed.contiguous()  # (1, S/4, S/4, C)

    def __call__(self, pixel_values: torch.Tensor) -> Features:
        """Encode images without gradients.

        Args:
            pixel_values: (B, 3, S, S), normalised by the model's processor.

        Returns:
            Features in the dtype of the weights.
        """
        with torch.no_grad():
            high_res_0, high_res_1, image_embed, *_ = self._neck_levels(self._trunk(pixel_values))
            return Features(self._conv_s0(high_res_0), self._conv_s1(high_res_1), image_embed)

    def _trunk(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """The output of each stage of Hiera, (B, h, w, C) from fine to coarse."""
        x = self._backbone.patch_embed(pixel_values) + self._pos_embed  # (B, S/4, S/4, C)
        stages = []
        for index, block in enumerate(self._backbone.blocks):
            x = _block(block, x)
            if index in self._backbone.stage_ends:
                stages.append(x)
        return stages

    def _neck_levels(self, stages: list[torch.Tensor]) -> list[torch.Tensor]:
        """The feature pyramid, (B, C, h, w) of one C: coarse levels are added to finer ones."""
        levels: list[torch.Tensor] = []
        for index in reversed(range(len(stages))):
            conv = self._neck.convs[len(stages) - 1 - index]
            level = conv(stages[index].permute(0, 3, 1, 2))  # (B, h, w, C_i) -> (B, C, h, w)
            if levels and index in self._neck.fpn_top_down_levels:
                level = level + functional.interpolate(levels[0], scale_factor=2.0)
            levels.insert(0, level)
        return levels


def _block(block: Any, x: torch.Tensor) -> torch.Tensor:
    """A block of Hiera on (B, h, w, C): attention, within windows or global, then an MLP."""
    normed = block.layer_norm1(x)
    if block.dim != block.dim_out:
        x = _max_pool(block.proj(normed), block.query_stride)  # (B, h/2, w/2, 2C)
    if side := block.window_size:
        windows = _window_partition(normed, side)  # (B, rows, columns, side, side, C)
        attended = _attention(block.attn, windows.flatten(0, 2), block.query_stride)
        # (B * rows * columns, side, side, C) -> (B, rows, columns, side, side, C) -> (B, h, w, C)
        attended = attended.reshape(*windows.shape[:3], *attended.shape[1:])
        attended = _window_unpartition(attended, x.shape[1:3])
    else:
        attended = _attention(block.attn, normed, block.query_stride)
    x = x + attended
    mlp = block.mlp
    hidden: torch.Tensor = mlp.proj_in(block.layer_norm2(x))  # (B, h, w, 4C)
    return x + cast(torch.Tensor, mlp.proj_out(mlp.activation(hidden)))


def _attention(attention: Any, x: torch.Tensor, stride: tuple[int, int] | None) -> torch.Tensor:
    """Attention within each of N windows (h, w, C); `stride` pools the queries, and so the output.

    The pooled queries are Hiera's downsampling between stages.
    """
    count, height, width = x.shape[:3]
    heads = attention.num_attention_heads
    qkv = attention.qkv(x).reshape(count, height * width, 3, heads, -1)
    q, k, v = qkv.unbind(2)  # (N, hw, heads, C/heads) each
    if stride:
        pooled = _max_pool(q.reshape(count, height, width, -1), stride)  # (N, h/2, w/2, C)
        height, width = pooled.shape[1:3]
        q = pooled.reshape(count, height * width, heads, -1)  # (N, hw/4, heads, C/heads)
    attended = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    )  # (N, heads, hw, C/heads), hw as in q
    # (N, heads, hw, C/heads) -> (N, hw, heads, C/heads) -> (N, h, w, C)
    merged = attended.transpose(1, 2).reshape(count, height, width, -1)
    projected: torch.Tensor = attention.proj(merged)
    return projected


def _max_pool(x: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """(N, h, w, C) -> (N, h/2, w/2, C) for a stride of 2."""
    pooled = functional.max_pool2d(x.permute(0, 3, 1, 2), kernel_size=stride, stride=stride)
    return pooled.permute(0, 2, 3, 1)


def _window_partition(x: torch.Tensor, side: int) -> torch.Tensor:
    """(B, h, w, C) -> (B, rows, columns, side, side, C), padded with zeros."""
    height, width = x.shape[1:3]
    if height % side or width % side:
        x = functional.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    count, height, width, channels = x.shape
    windows = x.reshape(count, height // side, side, width // side, side, channels)
    return windows.transpose(2, 3)


def _window_unpartition(windows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """(B, rows, columns, side, side, C) -> (B, h, w, C) of this shape (h, w), without padding."""
    x = windows.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, rows * side, columns * side, C)
    return x[:, : shape[0], : shape[1]]
