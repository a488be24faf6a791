"""The benchmark of the live node: its arithmetic, and its figures over a short time."""

import live
import pytest

from segzero_ros.perception_parameters import Parameters

MS = 10**6


@pytest.mark.parametrize(("counted", "exact"), [(5, 1), (4, 0), (6, 0)])
def test_every_frame_has_to_be_accounted_for(counted: int, exact: int) -> None:
    sent = [number * 2500 * MS for number in range(12)]
    numbers = {stamp: number for number, stamp in enumerate(sent[2:], 1)}
    # The first is asked about, the fifth caught up with; the eighth and the ninth are followed.
    shown = [
        (sent[8], sent[8] + 20 * MS, sent[8] + 60 * MS, sent[8] + 70 * MS),
        (sent[10], sent[10] + 5 * MS, sent[10] + 45 * MS, sent[10] + 50 * MS),
    ]
    steps = [(sent[7], sent[8]), *[(begin, end) for _, begin, end, _ in shown]]
    diary = live.Diary(numbers, lost=1, followings=[live.FollowingTimes(sent[2], steps, shown)])
    figures = live.following_figures(sent, diary, [counted])
    assert figures["answers after which these make up all frames"] == exact
    assert figures["frames followed"] == 2
    assert figures["frames caught up with"] == 1
    assert figures["frames sent while the node listened"] == figures["frames that arrived"] == 10
    assert figures["first mask: frame's age when its step began [ms]"]["max"] == 20
    assert figures["first mask: frame's age when it was published [ms]"]["max"] == 70


def test_a_cancels_times_are_summed_up() -> None:
    figures = live.cancel_figures([30 * MS, 1100 * MS], [(0, 20 * MS), (1000 * MS, 1010 * MS)])
    assert figures["goals"] == 2
    assert figures["cancel to the last word [ms]"]["max"] == 20
    assert figures["cancel to the model's stop [ms]"]["max"] == 100


@pytest.mark.ros
@pytest.mark.slow
def test_every_frame_is_accounted_for_and_every_cancel_stops_the_model(run_benchmark) -> None:
    figures = run_benchmark("live", "--questions", "2", "--cancels", "5")
    following, cancelling = figures["following"], figures["cancelling"]
    assert following["answers after which these make up all frames"] == following["answers"] == 2
    assert 2 <= following["frames caught up with"] <= 2 * Parameters().catch_up
    assert following["frames followed"] >= 2
    missing = following["frames sent while the node listened"] - following["frames that arrived"]
    assert following["frames lost, as /diagnostics counts"] == missing
    assert cancelling["goals"] == 5
    times = [*following.values(), *cancelling.values()]
    summaries = [value for value in times if isinstance(value, dict)]
    assert len(summaries) == 7
    assert all(0 < value["p50"] <= value["p95"] <= value["max"] for value in summaries)
