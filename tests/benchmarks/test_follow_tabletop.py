import follow_tabletop
import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero_sim.tabletop import TabletopRenderer


def test_hidden_frames_count_for_no_iou_but_for_being_lost() -> None:
    area = np.array([0.01] * 4 + [0.0] * 16)
    seen = np.array([True] * 3 + [False] + [True] * 3 + [False] * 13)
    swapped = np.zeros(20, bool)
    swapped[5] = True
    iou = np.array([0.8] * 3 + [0.0] * 17)
    item = follow_tabletop.Followed("red ball", area, iou, seen, swapped)
    figures = follow_tabletop.summary([[item], []])
    assert figures["mean iou"] == 0.6
    assert figures["visible but lost"] == 0.25
    assert figures["swapped frames"] == figures["objects ever swapped"] == 1
    assert item.leaves() == [3]
    assert figures["lost within 10 frames"] == 1


def test_who_is_never_told_to_be_gone_is_told_too_late() -> None:
    gone = np.zeros(15)
    item = follow_tabletop.Followed("red ball", gone, gone, gone == 0, gone > 0)
    assert item.leaves() == [15]


@pytest.mark.slow
def test_the_demo_keeps_more_than_half_of_what_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_tabletop, "FRAMES", 30)
    model = SegZero.load("demo", "cpu")
    with TabletopRenderer(320, 240) as renderer:
        clips = [
            follow_tabletop.follow_clip(model, renderer, number, False, [], [])
            for number in range(3)
        ]
    assert follow_tabletop.summary(clips)["mean iou"] > 0.5
