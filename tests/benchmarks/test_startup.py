"""The benchmark of the start runs and tells what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_it_tells_the_stages_and_what_holds_the_memory(tmp_path: Path) -> None:
    out = tmp_path / "startup.json"
    script = ROOT / "benchmarks" / "startup.py"
    command = [sys.executable, str(script), "--runs", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    stages = [stage["median"] for stage in told["seconds until"].values()]
    assert 0 < stages[0] <= stages[1] <= stages[2]
    assert told["resident [MiB]"]["VmRSS"]["median"] > 100
    assert told["resident by mapping [MiB]"]["[heap]"] > 0
    assert "torch" in told["import seconds by package"]
