import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segzero_train.datasets.coco import to_mask
from segzero_train.datasets.items import Unusable
from tests.segzero_train.original_files import filled, rectangle

HEIGHT, WIDTH = 40, 60
RING = np.zeros((HEIGHT, WIDTH), bool)
RING[5:30, 10:50] = True
RING[12:20, 20:40] = False


def test_polygons_are_united() -> None:
    mask = to_mask([rectangle(2, 3, 10, 5), rectangle(30, 20, 4, 8)], HEIGHT, WIDTH)
    assert np.array_equal(mask, filled(2, 3, 10, 5) | filled(30, 20, 4, 8))


@pytest.mark.parametrize("form", ["counts", "string", "bytes", "list"])
def test_run_lengths_are_read_in_every_form(form: str) -> None:
    compressed = coco_mask.encode(np.asfortranarray(RING.astype(np.uint8)))
    changes = np.flatnonzero(np.diff(RING.T.ravel(), prepend=False, append=True))
    counts = np.diff(changes, prepend=0).tolist()
    rle = {
        "counts": {"counts": counts, "size": [HEIGHT, WIDTH]},
        "string": {**compressed, "counts": compressed["counts"].decode()},
        "bytes": compressed,
        "list": [compressed],
    }[form]
    assert np.array_equal(to_mask(rle, HEIGHT, WIDTH), RING)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
def test_compressed_run_lengths_agree_with_pycocotools(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((31, 17)) < share
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(to_mask(encoded, 31, 17), mask)


@given(st.one_of(st.text(max_size=30), st.lists(st.integers(-5, 3000), max_size=6)))
def test_any_other_counts_are_refused(counts: str | list[int]) -> None:
    try:
        mask = to_mask({"counts": counts, "size": [HEIGHT, WIDTH]}, HEIGHT, WIDTH)
    except Unusable as error:
        assert error.reason == "malformed annotation"
    else:
        assert mask.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, 1e30]],
        [[1, 2, "3", 4, 5, 6]],
        [1, 2, 3, 4, 5, 6],
        {"counts": [2400]},
        {"size": [40, 60]},
        7,
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation: object) -> None:
    with pytest.raises(Unusable, match="malformed annotation"):
        to_mask(segmentation, HEIGHT, WIDTH)


def test_run_lengths_for_another_size_are_refused() -> None:
    with pytest.raises(Unusable, match="size mismatch"):
        to_mask({"counts": [2400], "size": [60, 40]}, HEIGHT, WIDTH)
