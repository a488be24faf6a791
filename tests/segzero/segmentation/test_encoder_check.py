"""SAM 2 models that transformers computes otherwise: a warning, then transformers' own pass."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segzero.errors import CheckpointError
from segzero.segmentation.image_encoder import ImageEncoder
from segzero.segmentation.sam2_transformers import TransformersSegmenter
from segzero.types import Box, GroundedObject, Point, SegmentedObject
from tests.segzero.moved_parts import move

MUG = GroundedObject(box=Box(20, 20, 90, 80), points=(Point(50, 50),))


def load(folder: Path, dtype: str = "float32") -> Any:
    return TransformersSegmenter.load(folder, dtype=dtype, device=torch.device("cpu"))


def scale_attention(model: Any) -> None:
    for block in model.vision_encoder.backbone.blocks:
        forward = block.attn.forward
        block.attn.forward = lambda *a, _forward=forward, **k: 1.5 * _forward(*a, **k)


def scale_mlp(model: Any) -> None:
    for block in model.vision_encoder.backbone.blocks:
        forward = block.mlp.forward
        block.mlp.forward = lambda *a, _forward=forward, **k: 1.5 * _forward(*a, **k)


def other_positions(model: Any) -> None:
    backbone = model.vision_encoder.backbone
    forward = backbone.forward
    backbone.forward = lambda pixels, **k: forward(pixels.flip(-1), **k)


MOVED = ["vision_encoder.backbone.blocks.0.attn", "vision_encoder.backbone.blocks.1.mlp"]
CHANGED = [scale_attention, scale_mlp, other_positions]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]


def assert_as_transformers(segmenter: Any, image: np.ndarray) -> None:
    pixels = segmenter._processor(images=image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        dtype = segmenter._model.vision_encoder.dtype
        expected = segmenter._model.get_image_features(pixels.to(dtype), return_dict=True)
    level = expected.fpn_hidden_states[-1].permute(1, 2, 0)
    found = segmenter.encode(image).image_embed
    torch.testing.assert_close(found.flatten(2), level, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("path", MOVED)
def test_a_part_that_has_moved_is_told_once_and_masks_are_drawn(
    sam2: Path, image: np.ndarray, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    segmenter = load(sam2)
    move(segmenter._model, path)
    assert_as_transformers(segmenter, image)
    assert len(segmenter.segment(image, [MUG])) == 1
    (warning,) = warnings(caplog)
    assert "AttributeError" in warning


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", CHANGED)
def test_a_model_that_is_computed_otherwise_is_told_once_and_masks_are_drawn(
    sam2: Path,
    image: np.ndarray,
    change: Callable[[Any], None],
    dtype: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    segmenter = load(sam2, dtype)
    change(segmenter._model)
    assert_as_transformers(segmenter, image)
    assert len(segmenter.segment(image, [MUG])) == 1
    (warning,) = warnings(caplog)
    assert "differ" in warning


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_as_it_should_be_is_encoded_without_a_word(
    sam2: Path, image: np.ndarray, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    segmenter = load(sam2, dtype)
    segmenter.encode(image)
    assert isinstance(segmenter._encoder, ImageEncoder)
    assert warnings(caplog) == []


@pytest.mark.parametrize("name", ["_encode_new_memory", "object_pointer_proj", "mask_downsample"])
def test_a_video_memory_of_other_names_is_refused_by_name(
    sam2: Path, image: np.ndarray, name: str
) -> None:
    segmenter = load(sam2)
    if name in segmenter._video._modules:
        delattr(segmenter._video, name)
    else:
        segmenter._video.__class__ = type("Other", (type(segmenter._video),), {name: property()})
    mask = np.zeros(image.shape[:2], bool)
    mask[20:80, 20:90] = True
    thing = SegmentedObject(id=1, box=Box(20, 20, 90, 80), points=MUG.points, mask=mask, score=1.0)
    with pytest.raises(CheckpointError, match=f"video memory .*{name}"):
        segmenter.track(image, [thing])
