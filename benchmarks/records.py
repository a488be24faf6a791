"""What every benchmark's JSON says: how it was made, and how figures and ratios are summed up."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def record(figures: dict[str, Any], libraries: Sequence[str], out: Path) -> None:
    """Write the figures to `out`, with command, hardware, versions and commit."""
    made = {
        "command": command(sys.argv),
        **figures,
        "hardware": hardware(),
        "load after": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in libraries},
        "commit": commit(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(made, indent=2) + "\n")


def command(words: Sequence[str]) -> str:
    """What to type for these figures again, without a file of one's own for them."""
    script, *options = words
    place = options.index("--out") if "--out" in options else len(options)
    if not Path(*options[place + 1 : place + 2]).resolve().is_relative_to(ROOT):
        del options[place : place + 2]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *options])


def hardware() -> str:
    """The processor, or the GPU if there is one."""
    import torch  # a camera's process does without

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, {platform.machine()}, no GPU"


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Median and the middle half of the values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    named = {"median": median, "25 %": low, "75 %": high}
    return {name: round(float(value), digits) for name, value in named.items()}


def cell(value: Any) -> object:
    """A figure for a table: of a `spread` the median."""
    return value["median"] if isinstance(value, dict) else value


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows of a Markdown table, the first its head."""
    head, *body = ([str(cell) for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commit() -> str:
    """The commit of the sources, `-dirty` behind it if they were changed."""
    packed = ROOT / "COMMIT"  # of a pack for a machine without the repository
    if packed.exists():
        return packed.read_text().strip()
    head = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(head, cwd=ROOT, capture_output=True, text=True).stdout.strip()
