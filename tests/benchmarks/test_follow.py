"""The benchmark of following: the steps draw the same masks as the session."""

import follow
import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero_sim.tabletop import TabletopRenderer

MASK = np.eye(4, dtype=bool)


@pytest.mark.slow
def test_the_steps_draw_what_the_unpruned_session_draws() -> None:
    with TabletopRenderer(320, 240) as renderer:
        clip = follow.film(renderer, 3, 35)
    row = follow.compare(SegZero.load("demo", "cpu"), clip, 1)
    assert row["IoU without rules"] >= 0.99
    assert row["tracker IoU with ground truth"] >= row["baseline IoU with ground truth"] - 0.01
    assert "| 3 |" in follow.tables([{"objects": 3, **row}])


def test_masks_agree_by_the_worst_object_of_each_frame() -> None:
    empty = np.zeros((4, 4), bool)
    plain, fast = [[MASK, MASK], [empty, MASK]], [[MASK, empty], [empty, MASK]]
    assert follow.agreement(plain, fast) == 0.5
    assert follow.agreement(plain, plain) == 1.0
    assert follow.accuracy(plain, fast) == 0.75
