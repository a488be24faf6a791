"""The paper's figure 5: what training on segmentation leaves of answering visual questions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segzero_train.errors import BadData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {"baseline": "before training", "sft": "after SFT", "rl": "after RL"}
"""The models that figure 5 compares; it states no figures."""
_COLOURS = ("0.6", "#d97a1e", "#1f5fa8")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How a model answered visual questions.

    Attributes:
        mean: From 0 to 1.
        interval: Its 95 % interval.
        n: The number of questions.
    """

    mean: float
    interval: tuple[float, float]
    n: int


def results(model: str, runs: Path) -> Path:
    """The folder of a model's results, within the folder of all runs."""
    return runs / "results" / model / "vqa"


def measured(runs: Path) -> dict[str, Accuracy]:
    """What `segzero_train.evaluate --vqa` measured so far, by model.

    Raises:
        BadData: A file of scores holds something else.
    """
    found = {}
    for model in TITLES:
        file = results(model, runs) / "scores.json"
        if not file.is_file():
            continue
        try:
            scores = json.loads(file.read_text(encoding="utf-8"))
            low, high = map(float, scores["accuracy_95"])
            found[model] = Accuracy(float(scores["accuracy"]), (low, high), int(scores["n"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadData(
                f"{file} isn't an evaluation's scores: evaluate again ({error})"
            ) from error
    return found


def table(accuracies: Mapping[str, Accuracy]) -> str:
    """The figure as a table in Markdown; empty cells were not measured yet."""
    lines = ["## figure5, accuracy in percent", "", "| model | measured | n |"]
    lines.append("| --- | ---: | ---: |")
    for model, title in TITLES.items():
        cells = " | "
        if item := accuracies.get(model):
            low, high = item.interval
            cells = f"{100 * item.mean:.1f} ({100 * low:.1f} to {100 * high:.1f}) | {item.n}"
        lines.append(f"| {title} | {cells} |")
    return "\n".join(lines)


def draw(accuracies: Mapping[str, Accuracy]) -> "Figure":
    """Draw a bar with its interval for each model that was measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 2.9), layout="constrained")
    axes = figure.add_subplot()
    for model, colour in zip(TITLES, _COLOURS, strict=True):
        if item := accuracies.get(model):
            low, high = item.interval
            around = [[100 * (item.mean - low)], [100 * (high - item.mean)]]
            axes.bar(TITLES[model], 100 * item.mean, yerr=around, color=colour, capsize=4)
    axes.set_ylabel("accuracy [%]", fontsize=9)
    axes.set_title("visual questions", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure
