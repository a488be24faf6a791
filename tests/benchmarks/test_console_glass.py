"""The benchmark from a frame's stamp to its mask in the browser runs and tells what it measured."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("google-chrome")),
    reason="Chromium isn't installed: apt-get install chromium",
)
def test_it_tells_how_late_masks_are(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright isn't installed")
    out = tmp_path / "glass.json"
    script = ROOT / "benchmarks" / "console_glass.py"
    command = [sys.executable, str(script), "--seconds", "2", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["masks drawn"] > 0
    total, own = figures["stamp to drawn mask [ms]"], figures["following alone [ms]"]
    assert total["median"] > own["median"] > 0
