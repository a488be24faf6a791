"""The benchmark of the first mask runs and tells what it measured."""

import first_mask
import pytest

from segzero.pipeline import SegZero


@pytest.mark.slow
def test_the_first_mask_of_several_objects_comes_before_the_whole_answer() -> None:
    measured = first_mask.measure(SegZero.load("demo", "cpu"), 1, 0.01)
    assert tuple(measured) == first_mask.COUNTS
    for count in first_mask.COUNTS[1:]:
        assert all(first < early for first, early, _ in measured[count])


def test_a_row_compares_within_each_question() -> None:
    row = first_mask.row(3, [(1.0, 3.1, 3.0), (2.0, 4.0, 4.0)])
    assert row["answers"] == 2
    assert row["first mask sooner [times]"]["median"] == 2.5
    assert row["first mask [s]"]["median"] == 1.5
