"""The squashed picture is PIL's, as in the authors' code, to the bit."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segzero.reasoning.squash import squash

SIZES = [(640, 480), (1280, 720), (1920, 1080), (3840, 2160), (333, 500), (100, 60)]


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("side", [840, 224])
def test_it_is_pils_bilinear_resize(width: int, height: int, side: int) -> None:
    image = noise(width, height)
    expected = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    found = squash(image, side)
    assert (found.dtype, found.shape) == (np.uint8, (side, side, 3))
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160)])
def test_it_does_not_alias_as_opencvs_does(width: int, height: int) -> None:
    image = noise(width, height)
    opencv = cv2.resize(image, (840, 840), interpolation=cv2.INTER_LINEAR)
    assert squash(image, 840).std() < 0.75 * opencv.std()


@pytest.mark.parametrize("view", ["read-only", "channels reversed", "every second", "flipped"])
def test_any_array_of_a_picture_will_do(view: str) -> None:
    image = noise(64, 48)
    image.flags.writeable = view != "read-only"
    image = {
        "channels reversed": image[..., ::-1],
        "every second": image[::2, ::2],
        "flipped": image[::-1, ::-1],
    }.get(view, image)
    assert np.array_equal(squash(image, 32), squash(np.ascontiguousarray(image), 32))


def test_a_picture_of_that_size_stays_and_is_a_copy() -> None:
    image = noise(56, 56)
    squashed = squash(image, 56)
    assert np.array_equal(squashed, image)
    assert not np.shares_memory(squashed, image)
