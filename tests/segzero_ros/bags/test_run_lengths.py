"""Run lengths are those of COCO's own tools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from segzero_ros.bags.run_lengths import run_lengths


@pytest.mark.parametrize("fill", [False, True])
def test_an_empty_and_a_full_mask(fill: bool) -> None:
    expected(np.full((5, 7), fill))


def test_long_runs_and_falling_differences() -> None:
    mask = np.zeros((480, 640), bool)
    mask[100:300, 50:400] = True
    mask[7, :3] = True
    expected(mask)


@given(arrays(bool, (6, 9)))
def test_any_mask(mask: np.ndarray) -> None:
    expected(mask)


def expected(mask: np.ndarray) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert run_lengths(mask) == {"size": theirs["size"], "counts": theirs["counts"].decode()}
