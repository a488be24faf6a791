"""The benchmark of the evaluation: its pictures, and that both ways come to the same."""

import evaluate as benchmark
import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero_train.datasets import tabletop


def test_an_enlarged_sample_is_the_same_question() -> None:
    (small,), (large,) = tabletop.samples("test", 1), benchmark.enlarged(1)
    assert large.image.shape == (480, 640, 3)
    assert large.question == small.question
    assert np.array_equal(large.mask[::2, ::2], small.mask)
    for item, mask in zip(large.objects, large.masks, strict=True):
        assert mask[round(item.points[0].y), round(item.points[0].x)]


@pytest.mark.slow
def test_both_ways_give_the_same_results() -> None:
    figures = benchmark.measure(SegZero.load("demo", "cpu"), 3, 2)
    assert (figures["pictures"], figures["batch"]) == (3, 2)
    assert figures["results that differ"] == 0
