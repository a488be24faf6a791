"""`python -m segzero_train.plot RUN`: draw how a run went, from its log.

What the paper's figures 7 and 8 show, completion length and every reward's mean by training step,
and the greedy evaluation on held-out questions, where the run made one. A thin line is what was
logged, a thick one its running mean.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.files import written_whole
from segzero.terminal import escape_unprintable, one_line_errors
from segzero_train.runs import BadRun, log_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps and values, each (N,)."""
_COLUMNS = 3
_BLUE, _ORANGE = "#1f5fa8", "#d97a1e"


def draw(history: Iterable[Mapping[str, Any]]) -> "Figure":
    """Draw a figure with one panel for each kind of curve that the log has.

    Args:
        history: Entries with a `step` and metrics by TRL's names, as `runs.log_history` returns
            them.

    Returns:
        The figure.

    Raises:
        BadRun: The log has nothing to draw.
    """
    from matplotlib.figure import Figure

    curves = _curves(history)
    panels = _panels(curves)
    if not panels:
        raise BadRun(
            "the log has no completion length, reward, greedy evaluation or token accuracy: "
            "is it a run of segzero_train.grpo or segzero_train.sft?"
        )
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.9 * rows), layout="constrained")
    axes = None
    for number, (title, fill) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number, sharex=axes)
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        fill(axes)
        if number > len(panels) - columns:
            axes.set_xlabel("step", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    parser = argparse.ArgumentParser(prog="python -m segzero_train.plot", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, or a checkpoint's")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="PNG, PDF or SVG (default: RUN/curves.png)"
    )
    options = parser.parse_args(arguments)
    out = options.out or options.run / "curves.png"
    with one_line_errors(OSError) as outcome:
        write(draw(log_history(options.run)), out)
        print(out)
    return outcome.status


def _curves(history: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Each metric's finite values; of a step that was logged twice, the later."""
    values: dict[str, dict[int, float]] = {}
    for entry in history:
        for key, value in entry.items():
            if isinstance(value, int | float) and np.isfinite(value):
                values.setdefault(key, {})[entry["step"]] = value
    return {
        key: (np.array(sorted(found), float), np.array([found[step] for step in sorted(found)]))
        for key, found in values.items()
    }


def _panels(curves: Mapping[str, Curve]) -> list[tuple[str, Callable[["Axes"], None]]]:
    """Titles, and what fills the axes under each."""

    def panel(title: str, **lines: str) -> tuple[str, Callable[["Axes"], None]] | None:
        shown = {label: curves[key] for label, key in lines.items() if key in curves}
        return (title, lambda axes: _fill(axes, shown)) if shown else None

    def evaluation(title: str, key: str) -> tuple[str, Callable[["Axes"], None]] | None:
        return (title, lambda axes: _fill_evaluation(axes, curves, key)) if key in curves else None

    rewards = sorted(key for key in curves if re.fullmatch("rewards/.+/mean", key))
    panels = [
        panel(
            "completion length, tokens",
            mean="completions/mean_length",
            least="completions/min_length",
        ),
        panel("total reward", mean="reward"),
        *(panel(f"reward: {key[len('rewards/') : -len('/mean')]}", mean=key) for key in rewards),
        panel("token accuracy", mean="mean_token_accuracy"),
        evaluation("held out, greedy: gIoU", "eval_greedy/giou"),
        evaluation("held out, greedy: total reward", "eval_greedy/reward"),
    ]
    return [found for found in panels if found is not None]


def _fill(axes: "Axes", shown: Mapping[str, Curve]) -> None:
    for (label, (steps, values)), colour in zip(shown.items(), (_BLUE, _ORANGE), strict=False):
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(steps, _running_mean(values), color=colour, linewidth=1.8, label=label)
    if len(shown) > 1:
        axes.legend(fontsize=8, frameon=False)


def _fill_evaluation(axes: "Axes", curves: Mapping[str, Curve], key: str) -> None:
    axes.plot(*curves[key], color=_BLUE, linewidth=1.8, marker="o", markersize=3)
    if (low := curves.get(f"{key}_low")) and (high := curves.get(f"{key}_high")):
        steps, least = low
        axes.fill_between(
            steps, least, high[1], color=_BLUE, alpha=0.15, linewidth=0, label="95 % interval"
        )
        axes.legend(fontsize=8, frameon=False)


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over a centred window of a tenth of all values, narrower at both ends."""
    reach = len(values) // 20
    sums = np.concatenate([[0.0], values.cumsum()])
    middle = np.arange(len(values))
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def write(figure: "Figure", out: Path) -> None:
    """Write a figure, whole or not at all.

    Args:
        figure: Of matplotlib.
        out: The file, whose suffix is its kind.

    Raises:
        OSError: It can't be written, or is of an unknown kind.
    """
    kinds = figure.canvas.get_supported_filetypes()
    if out.suffix.lstrip(".") not in kinds:
        raise OSError(f"can't draw a file of the kind {out.suffix!r}: try {out.stem}.png")
    if not out.absolute().parent.is_dir():
        raise OSError(f"there is no folder {out.parent} to write {out.name} to: make it first")
    with written_whole(out) as partial:
        figure.savefig(partial, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
