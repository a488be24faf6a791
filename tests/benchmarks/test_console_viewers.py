"""The benchmark of the console's viewers runs and tells what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_tells_what_viewers_cost(tmp_path: Path) -> None:
    out = tmp_path / "console-viewers.json"
    script = ROOT / "benchmarks" / "console_viewers.py"
    options = ["--viewers", "3", "--phases", "1", "--seconds", "2", "--minutes", "0.02"]
    command = [sys.executable, str(script), *options, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["followed without viewers [Hz]"]["median"] > 0
    assert figures["followed with viewers [Hz]"]["median"] > 0
    assert figures["a viewer [kB/s]"] > 10
    assert len(figures["resident memory over time [MiB]"]) == 11
