"""`python benchmarks/grpo_demo.py`: does GRPO make the demo's reasoner better, and how soon?

Runs `python -m segzero_train.grpo --config demo` from a fresh folder. Compares greedy answers to
the held-out questions before the first step and after the last, question by question. Figures,
curve and command go to `benchmarks/results/grpo-demo.*`.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray

RECIPE = "demo"
_RESAMPLES = 10_000


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", type=Path, default=records.ROOT / "runs/grpo-demo", help="must not exist"
    )
    options = parser.parse_args()
    if options.run.exists():
        print(f"error: {options.run} is there already: remove it first", file=sys.stderr)
        return 1
    words = ["-m", "segzero_train.grpo", "--config", RECIPE, "--output_dir", str(options.run)]
    start = time.monotonic()
    subprocess.run([sys.executable, *words], cwd=records.ROOT, check=True)
    minutes = (time.monotonic() - start) / 60
    figures = {
        "runs": shlex.join(["python", *words[:4]]),
        "minutes": round(minutes, 1),
        **compare(options.run / "greedy"),
    }
    records.record(figures, ("torch", "transformers", "trl"), records.RESULTS / "grpo-demo.json")
    print(json.dumps(figures, indent=2))
    picture = str(records.RESULTS / "grpo-demo.png")
    plot = ["-m", "segzero_train.plot", str(options.run), "--out", picture]
    subprocess.run([sys.executable, *plot], cwd=records.ROOT, check=True)
    return 0


def compare(folder: Path) -> dict[str, Any]:
    """gIoU and reward before and after, with 95 % intervals, and the paired difference."""
    files = sorted(folder.glob("*.json"))
    curve = [json.loads(file.read_text()) for file in files]
    before, after = curve[0], curve[-1]
    pairs = list(zip(before["questions"], after["questions"], strict=True))
    if any(one["id"] != two["id"] for one, two in pairs):
        raise ValueError(f"the evaluations in {folder} are of different questions")
    categories = sorted({one["category"] for one, _ in pairs})
    return {
        "questions": len(pairs),
        "steps": after["step"],
        "giou": _rise([(one["iou"], two["iou"]) for one, two in pairs]),
        "reward": _rise([(one["reward"], two["reward"]) for one, two in pairs]),
        "giou_by_category": {
            category: _rise(
                [(one["iou"], two["iou"]) for one, two in pairs if one["category"] == category]
            )
            for category in categories
        },
        "curve": [
            {key: round(value, 4) for key, value in point.items() if key != "questions"}
            for point in curve
        ],
    }


def _rise(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    values = np.array(pairs)
    before, after = values.T
    return {
        "before": _estimate(before),
        "after": _estimate(after),
        "difference": _estimate(after - before),
    }


def _estimate(values: NDArray[np.float64]) -> dict[str, Any]:
    """Mean with its 95 % interval, a percentile bootstrap over the questions."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": _rounded(values.mean()), "95 %": [_rounded(low), _rounded(high)]}


def _rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    sys.exit(main())
