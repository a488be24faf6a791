"""The benchmark of the ROS shell: its arithmetic, and that it runs."""

import pytest
import shell

MS = 10**6


def test_only_the_frames_that_were_sent_count() -> None:
    sent = [100 * MS, 200 * MS, 300 * MS, 400 * MS]
    arrived = {stamp: stamp + 5 * MS for stamp in [0, *sent[:3]]}
    used = {stamp: stamp + 6 * MS for stamp in [0, *sent[:2]]}
    used[200 * MS] = 240 * MS
    masked = {stamp: moment + 2 * MS for stamp, moment in used.items()}
    figures = shell.figures(sent, arrived, used, masked)
    assert (figures["frames sent"], figures["frames delivered"]) == (4, 3)
    assert figures["delivered [%]"] == 75
    assert figures["frames followed"] == 2
    assert figures["stamp to arrival [ms]"]["max"] == 5
    assert figures["arrival to mask [ms]"]["p50"] == pytest.approx((3 + 37) / 2)
    assert figures["stamp to use [ms]"]["max"] == 40
    assert figures["used when older than a period"] == 1


@pytest.mark.ros
@pytest.mark.slow
def test_it_measures_over_real_dds(run_benchmark) -> None:
    figures = run_benchmark("shell", "--seconds", "2")
    assert 0 < figures["frames followed"] <= figures["frames delivered"] <= figures["frames sent"]
    assert 0 < figures["arrival to use [ms]"]["p50"] < figures["arrival to mask [ms]"]["p50"]
