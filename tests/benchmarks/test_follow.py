"""The benchmark of following: both ways draw the same masks."""

import follow
import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero_sim.tabletop import TabletopRenderer

MASK = np.eye(4, dtype=bool)


@pytest.mark.slow
def test_the_tracker_draws_what_the_unpruned_session_draws() -> None:
    with TabletopRenderer(320, 240) as renderer:
        frames, objects = follow.film(renderer, 3, 40)
    row = follow.compare(SegZero.load("demo", "cpu"), frames, objects, 1)
    assert row["lowest IoU of masks"] >= 0.99
    assert "| 3 |" in follow.tables([{"objects": 3, **row}])


def test_masks_agree_by_the_worst_object_of_each_frame() -> None:
    empty = np.zeros((4, 4), bool)
    plain = follow.Run([0.1], (0, 0), [[MASK, MASK], [empty, MASK]])
    fast = follow.Run([0.1], (0, 0), [[MASK, empty], [empty, MASK]])
    assert follow._agreement(plain, fast) == 0.5
    assert follow._agreement(plain, plain) == 1.0
