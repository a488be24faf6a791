"""The benchmark of several cameras runs and tells what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_it_tells_memory_and_frames_of_one_process_and_of_several(tmp_path: Path) -> None:
    out = tmp_path / "cameras.json"
    script = ROOT / "benchmarks" / "cameras.py"
    options = ["--cameras", "2", "--seconds", "1", "--out", str(out)]
    command = [sys.executable, str(script), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = json.loads(out.read_text())["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert 100 < one["proportional [MiB]"] < two["proportional [MiB]"]
    assert one["frames received"] > 0
    assert 0 < one["followed a camera [Hz]"] < 40
