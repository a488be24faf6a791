"""Sizes and pixels that the models see, against the models' own `qwen-vl-utils`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from qwen_vl_utils import process_vision_info, smart_resize

from segzero.profiles import load_profile
from segzero.reasoning.squash import squash
from segzero_train.training.preprocessing import model_space
from tests.segzero import qwen_tokenizer
from tests.segzero.qwen_tokenizer import FAMILIES

SIZES = [(840, 840), (1280, 720), (720, 1280), (97, 61), (30, 30), (1999, 60), (2000, 1500)]


@pytest.fixture(scope="module", params=FAMILIES)
def processor(request: pytest.FixtureRequest, qwen_tokenizer_file: Path) -> Any:
    tokenizer = qwen_tokenizer.load(qwen_tokenizer_file, request.param)
    return qwen_tokenizer.processor(tokenizer, request.param)


def noise(width: int, height: int) -> np.ndarray:
    """A smooth picture with some noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height)), int) + rng.integers(
        -9, 9, (height, width, 3)
    )
    return pixels.clip(0, 255).astype(np.uint8)


def by_the_models_own(processor: Any, picture: np.ndarray) -> Image.Image:
    limits = processor.image_processor.size
    part = {
        "type": "image",
        "image": Image.fromarray(picture),
        "min_pixels": limits["shortest_edge"],
        "max_pixels": limits["longest_edge"],
    }
    patch = processor.image_processor.patch_size
    images, _ = process_vision_info([{"role": "user", "content": [part]}], image_patch_size=patch)
    return images[0]


@pytest.mark.parametrize("size", SIZES)
def test_pictures_have_the_size_and_the_pixels_of_the_models_own_code(
    processor: Any, size: tuple[int, int]
) -> None:
    images = processor.image_processor
    picture = noise(*size)
    expected = by_the_models_own(processor, picture)
    found = images(images=[picture], return_tensors="pt")
    _, rows, columns = found["image_grid_thw"][0].tolist()
    assert (columns * images.patch_size, rows * images.patch_size) == expected.size
    plain = images(images=[expected], do_resize=False, return_tensors="pt")
    # Both are bicubic, one in PIL, one in torchvision: half a level in rounding, two at an edge.
    levels = (found["pixel_values"] - plain["pixel_values"]).abs() * 255 * min(images.image_std)
    assert levels.max() < 3
    assert levels.mean() < 0.3


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_squashed_to_whole_patches_reaches_the_model_pixel_by_pixel(
    processor: Any, size: tuple[int, int]
) -> None:
    images = processor.image_processor
    factor = images.patch_size * images.merge_size
    squashed = squash(noise(*size), 840 // factor * factor)
    assert np.array_equal(np.asarray(by_the_models_own(processor, squashed)), squashed)
    plain = images(images=[squashed], do_resize=False, return_tensors="pt")["pixel_values"]
    assert torch.equal(images(images=[squashed], return_tensors="pt")["pixel_values"], plain)


@pytest.mark.parametrize("side", [840, 832, 1000, 256, 60])
def test_the_models_size_in_training_is_that_of_the_models_own_code(
    processor: Any, side: int
) -> None:
    images = processor.image_processor
    height, width = smart_resize(
        side,
        side,
        factor=images.patch_size * images.merge_size,
        min_pixels=images.size["shortest_edge"],
        max_pixels=images.size["longest_edge"],
    )
    profile = replace(load_profile("demo"), image_size=side)
    assert model_space(profile, processor).size == (width, height)
