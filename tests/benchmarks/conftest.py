"""Benchmarks as they are started."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_benchmark(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a benchmark by its name and options; return what it recorded."""

    def run(name: str, *options: str) -> dict[str, Any]:
        out = tmp_path / f"{name}.json"
        script = ROOT / "benchmarks" / f"{name}.py"
        command = [sys.executable, str(script), *options, "--out", str(out)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "ROS_DOMAIN_ID"},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(
            out.read_text(), parse_constant=pytest.fail
        )  # NaN or infinity
        return figures

    return run
