"""The benchmark of confidences: what an AUROC is, and a run on a few questions."""

import confidence
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5), ([1, 3, 2, 4], 0.75)],
)
def test_the_probability_that_a_right_object_stands_above_a_wrong_one(
    values: list[int], expected: float
) -> None:
    right = np.array([False, False, True, True])
    assert confidence.auroc(np.array(values, float), right) == expected


def test_the_interval_is_wider_where_objects_of_a_question_stand_together() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.5, 5)
    values = np.repeat(rng.random(40), 5)
    together = confidence.interval(values, right, np.repeat(np.arange(40), 5))
    apart = confidence.interval(values, right, np.arange(200))
    assert together["2.5 %"] < apart["2.5 %"] <= apart["97.5 %"] < together["97.5 %"]


@pytest.mark.slow
def test_every_candidate_is_measured() -> None:
    figures = confidence.measure("demo", "val", 10)
    assert 0 < figures["right objects"] < figures["objects"]
    assert len(figures["auroc"]) == 9
    assert all(0 <= found["auroc"] <= 1 for found in figures["auroc"].values())
