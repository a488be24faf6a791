"""`python benchmarks/grpo_demo.py`: does GRPO teach the demo's base to think, and how soon?

Runs `python -m segzero_train.grpo --config demo` once with each seed. Compares greedy answers to
the held-out questions before the first step and after the last, question by question. Figures,
curves and command go to `benchmarks/results/grpo-demo.*`. Interrupted, the same command goes on.
"""

import argparse
import json
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray

from segzero.files import write_text_whole

RECIPE = "demo"
_THOUGHT = re.compile(r"<think>\s*[^\s<]")
_RESAMPLES = 10_000


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=records.ROOT / "runs/grpo-demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=records.RESULTS / "grpo-demo.json")
    options = parser.parse_args()
    words = ["-m", "segzero_train.grpo", "--config", RECIPE]
    runs = {f"seed {seed}": options.run / f"seed-{seed}" for seed in options.seeds}
    for seed, folder in zip(options.seeds, runs.values(), strict=True):
        _train([*words, "--seed", str(seed)], folder)
    compared = {name: compare(folder / "greedy") | _times(folder) for name, folder in runs.items()}
    figures = {
        "runs": shlex.join(["python", *words, "--seed", "SEED"]),
        **compared,
    }
    records.record(figures, ("torch", "transformers", "trl"), options.out)
    print(json.dumps(figures, indent=2))
    curves = {name: found["curve"] for name, found in compared.items()}
    draw(curves, options.out.with_suffix(".png"))
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
        "thinking": {
            "before": thinking(before["questions"]),
            "after": thinking(after["questions"]),
        },
        "giou_by_category": {
            category: _rise(
                [(one["iou"], two["iou"]) for one, two in pairs if one["category"] == category]
            )
            for category in categories
        },
        "curve": [
            {key: _rounded(value) for key, value in point.items() if isinstance(value, int | float)}
            | {"thinking": thinking(point["questions"])}
            for point in curve
        ],
    }


def thinking(questions: Sequence[Mapping[str, Any]]) -> float:
    """The share of the completions whose thought isn't empty."""
    return _rounded(np.mean([bool(_THOUGHT.search(item["completion"])) for item in questions]))


def draw(curves: Mapping[str, Sequence[Mapping[str, float]]], out: Path) -> None:
    """Draw held-out gIoU and the share of answers that think by step, a line for each run.

    Args:
        curves: By the runs' names, points as `compare` returns them.
        out: The picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.8, 3.0), layout="constrained")
    panels = (("giou", "held out, greedy: gIoU"), ("thinking", "greedy answers that think"))
    for number, (key, title) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, number)
        for name, points in curves.items():
            steps = [point["step"] for point in points]
            axes.plot(steps, [point[key] for point in points], marker="o", markersize=3, label=name)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("step", fontsize=9)
        axes.set_ylim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.legend(fontsize=8, frameon=False)
    figure.savefig(out, dpi=150)


def _train(words: Sequence[str], folder: Path) -> None:
    """Run or go on with a training, unless it has ended; keeps the time that all parts took."""
    if _ended(folder):
        return
    before = _times(folder)
    start, used = time.monotonic(), _children_seconds()
    command = [sys.executable, *words, "--output_dir", str(folder)]
    status = subprocess.run(command, cwd=records.ROOT, check=False).returncode
    times = {
        "minutes": before["minutes"] + (time.monotonic() - start) / 60,
        "CPU minutes": before["CPU minutes"] + (_children_seconds() - used) / 60,
        "ended": status == 0,
    }
    if folder.is_dir():
        write_text_whole(folder / "times.json", json.dumps(times) + "\n")
    if status:
        sys.exit(f"{shlex.join(command)} ended with {status}: the same command goes on")


def _ended(folder: Path) -> bool:
    file = folder / "times.json"
    return file.is_file() and json.loads(file.read_text())["ended"]


def _times(folder: Path) -> dict[str, float]:
    file = folder / "times.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    return {key: round(found.get(key, 0.0), 1) for key in ("minutes", "CPU minutes")}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def _rounded(value: Any) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    sys.exit(main())
