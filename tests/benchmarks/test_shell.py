"""The benchmark of the ROS shell: its arithmetic, and that it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import shell

FILE = Path(__file__).parents[2] / "benchmarks" / "shell.py"
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
def test_it_measures_over_real_dds(tmp_path: Path) -> None:
    out = tmp_path / "shell.json"
    subprocess.run(
        [sys.executable, FILE, "--seconds", "2", "--out", out],
        env={name: value for name, value in os.environ.items() if name != "ROS_DOMAIN_ID"},
        check=True,
        timeout=300,
    )
    figures = json.loads(out.read_text())
    assert 0 < figures["frames followed"] <= figures["frames delivered"] <= figures["frames sent"]
    assert 0 < figures["arrival to use [ms]"]["p50"] < figures["arrival to mask [ms]"]["p50"]
