"""The image encoder, compared with transformers' own on the weights that were loaded."""

import logging
from collections.abc import Callable
from typing import Any

import torch

from segzero.devices import translate_oom
from segzero.errors import DeviceOutOfMemory
from segzero.segmentation.image_encoder import Features, ImageEncoder

_LOG = logging.getLogger(__name__)
_LIMIT, _HALF_LIMIT = 0.001, 0.1
"""Largest difference of features, relative to their spread, in float32 and in half precision."""


def checked_encoder(model: Any) -> Callable[[torch.Tensor], Features]:
    """Make an ImageEncoder and compare it with transformers on a picture of noise.

    Args:
        model: a Sam2Model or Sam2VideoModel, whose weights must not change any more.

    Returns:
        What encodes images: the ImageEncoder. If it can't read this model or computes something
        else, which is logged as a warning, transformers' own pass, which is slower.

    Raises:
        DeviceOutOfMemory: the device has too little memory.
    """
    side = model.config.prompt_encoder_config.image_size
    generator = torch.Generator().manual_seed(0)  # leaves the global one as it is
    pixels = torch.randn(1, 3, side, side, generator=generator).to(model.device)

    def by_transformers(pixel_values: torch.Tensor) -> Features:
        dtype = model.vision_encoder.dtype
        output = model.get_image_features(pixel_values.to(dtype), return_dict=True)
        return Features(
            *(
                level.permute(1, 2, 0).unflatten(-1, size)  # (hw, B, C) -> (B, C, h, w)
                for level, size in zip(
                    output.fpn_hidden_states, model.backbone_feature_sizes, strict=True
                )
            )
        )

    with translate_oom(), torch.no_grad():
        expected = by_transformers(pixels)
        try:
            with translate_oom():
                encoder = ImageEncoder(model)
                difference = _difference(encoder(pixels), expected)
        except DeviceOutOfMemory:
            raise
        except Exception as error:  # whatever reading the parts of another model may raise
            reason = str(error).partition("\n")[0]
            _warn(f"the model isn't built as expected, {type(error).__name__}: {reason}")
            return by_transformers
    limit = _LIMIT if expected.image_embed.dtype == torch.float32 else _HALF_LIMIT
    if difference <= limit:
        return encoder
    _warn(f"the features differ by {difference:.2g} of their spread, over {limit}")
    return by_transformers


def _difference(found: Features, expected: Features) -> float:
    """The root mean square of the difference through the spread, of the worst level."""
    worst = 0.0
    for name in ("high_res_0", "high_res_1", "image_embed"):
        ours, theirs = getattr(found, name).float(), getattr(expected, name).float()
        apart = (ours - theirs).square().mean().sqrt() / theirs.std()
        worst = max(worst, float(apart.nan_to_num(torch.inf)))
    return worst


def _warn(reason: str) -> None:
    _LOG.warning(
        "images are encoded by transformers, which is slower: segzero's own encoder doesn't fit "
        "this model or this version of transformers (%s)",
        reason,
    )
