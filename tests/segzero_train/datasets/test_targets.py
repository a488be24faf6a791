import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segzero_train.datasets.targets import box_and_points

GOLDEN = json.loads((Path(__file__).parent / "golden_points.json").read_text())


def unpack(case: dict) -> np.ndarray:
    """The mask of a golden vector, (H, W) bool."""
    packed = zlib.decompress(base64.b64decode(case["mask_zlib_b64"]))
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=case["height"] * case["width"])
    return bits.reshape(case["height"], case["width"]).astype(bool)


def test_there_are_24_golden_masks() -> None:
    assert len(GOLDEN) == 24


@pytest.mark.parametrize("case", GOLDEN)
def test_box_and_points_are_the_authors(case: dict) -> None:
    box, points = box_and_points(unpack(case))
    assert list(box) == case["box"]
    assert [list(point) for point in points] == case["points"]


def test_values_are_plain_integers() -> None:
    box, points = box_and_points(np.eye(5, dtype=bool))
    assert {type(value) for value in (*box, *points[0], *points[1])} == {int}


def test_a_single_pixel_gives_both_points() -> None:
    mask = np.zeros((4, 6), bool)
    mask[2, 5] = True
    assert box_and_points(mask) == ((5, 2, 5, 2), ((5, 2), (5, 2)))


def test_a_mask_that_fills_the_image_has_points_in_it() -> None:
    box, points = box_and_points(np.ones((3, 5), bool))
    assert box == (0, 0, 4, 2)
    assert all(0 <= x < 5 and 0 <= y < 3 for x, y in points)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        box_and_points(np.zeros((4, 4), bool))


def test_a_mask_with_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        box_and_points(np.ones((4, 4, 3), bool))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()))
def test_points_lie_on_the_mask_and_the_box_is_tight(mask: np.ndarray) -> None:
    if not mask.any():
        return
    (x1, y1, x2, y2), points = box_and_points(mask)
    assert all(mask[y, x] for x, y in points)
    assert mask[y1 : y2 + 1, x1 : x2 + 1].sum() == mask.sum()
    for side in (mask[y1], mask[y2], mask[:, x1], mask[:, x2]):
        assert side.any()
