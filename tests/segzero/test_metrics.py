import math

import numpy as np
import pytest

from segzero.metrics import CONVENTIONS, Overlap, difference, overlap, summarize


def mask(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_intersection_and_union_count_pixels():
    assert overlap(mask("##.", "..."), mask(".##", "...")) == Overlap(1, 3)


def test_pixels_marked_255_are_not_counted():
    ground_truth = np.array([[1, 255, 0], [0, 255, 0]], np.uint8)
    assert overlap(mask("###", "..."), ground_truth) == Overlap(1, 2)


def test_an_unparsable_answer_has_the_ground_truth_as_union():
    assert overlap(None, mask("##.", "...")) == Overlap(0, 2, failed=True)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        overlap(mask("##"), mask("#"))


@pytest.mark.parametrize(
    ("item", "iou"),
    [(Overlap(1, 4), 0.25), (Overlap(0, 0), 1.0), (Overlap(0, 0, failed=True), 0.0)],
)
def test_iou_of_one_image(item, iou):
    assert item.iou == iou


def test_giou_is_the_mean_of_ratios_and_ciou_the_ratio_of_sums():
    summary = summarize([Overlap(1, 2), Overlap(9, 10)], "seg_zero")
    assert summary.giou.value == pytest.approx(0.7)
    assert summary.ciou.value == pytest.approx(10 / 12)
    assert summary.n == 2


@pytest.mark.parametrize(("convention", "giou", "n"), [("lisa", 0.75, 2), ("seg_zero", 0.5, 1)])
def test_the_conventions_differ_where_nothing_is_there(convention, giou, n):
    summary = summarize([Overlap(1, 2), Overlap(0, 0)], convention)
    assert summary.giou.value == pytest.approx(giou, abs=1e-4)
    assert summary.n == n


def test_a_failure_where_nothing_is_there_scores_nothing():
    summary = summarize([Overlap(0, 0, failed=True)], "lisa")
    assert summary.giou.value == summary.ciou.value == 0.0


def test_only_empty_images_answered_well():
    summary = summarize([Overlap(0, 0)] * 3, "lisa")
    assert summary.giou.value == summary.ciou.value == 1.0


def test_without_images_there_is_no_number():
    summary = summarize([Overlap(0, 0)], "seg_zero")
    assert summary.n == 0
    assert math.isnan(summary.giou.value) and math.isnan(summary.ciou.high)


def test_the_interval_is_that_of_the_normal_approximation_and_repeats():
    rng = np.random.default_rng(1)
    ious = rng.integers(0, 1001, 400)
    overlaps = [Overlap(int(value), 1000) for value in ious]
    summary = summarize(overlaps)
    half = 1.96 * (ious / 1000).std() / math.sqrt(400)
    assert summary.giou.low == pytest.approx(summary.giou.value - half, abs=0.004)
    assert summary.giou.high == pytest.approx(summary.giou.value + half, abs=0.004)
    assert summarize(overlaps) == summary


def test_an_unknown_convention_is_named():
    with pytest.raises(ValueError, match="coco"):
        summarize([Overlap(1, 2)], "coco")  # type: ignore[arg-type]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_difference_is_that_of_the_two_scores(convention):
    ours = [Overlap(3, 4), Overlap(0, 0), Overlap(0, 8), Overlap(5, 5)]
    theirs = [Overlap(1, 4), Overlap(0, 6), Overlap(2, 8), Overlap(0, 5, failed=True)]
    found = difference(ours, theirs, convention)
    a, b = (summarize(items, convention) for items in (ours, theirs))
    assert found.giou.value == pytest.approx(a.giou.value - b.giou.value)
    assert found.ciou.value == pytest.approx(a.ciou.value - b.ciou.value)


def test_what_makes_images_hard_for_both_cancels_out():
    rng = np.random.default_rng(0)
    theirs = [Overlap(int(value), 1000) for value in rng.integers(0, 900, 200)]
    ours = [Overlap(item.intersection + 20, 1000) for item in theirs]
    found = difference(ours, theirs)
    assert found.giou.low == pytest.approx(0.02, abs=1e-6)
    assert found.giou.high == pytest.approx(0.02, abs=1e-6)
    alone = summarize(ours).giou
    assert alone.high - alone.low > 0.05


def test_the_interval_of_a_difference_is_that_of_the_normal_approximation():
    rng = np.random.default_rng(1)
    ours, theirs = ([Overlap(int(v), 1000) for v in rng.integers(0, 1000, 400)] for _ in range(2))
    found = difference(ours, theirs).giou
    steps = [(a.intersection - b.intersection) / 1000 for a, b in zip(ours, theirs, strict=True)]
    half = 1.96 * np.std(steps) / np.sqrt(len(steps))
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_other_numbers_of_images_are_not_compared():
    with pytest.raises(ValueError, match="1 images"):
        difference([Overlap(1, 2)], [])


def test_a_difference_with_nothing_counted_is_no_number():
    blank = [Overlap(0, 0)] * 3
    assert np.isnan(difference(blank, blank, "seg_zero").giou.value)
