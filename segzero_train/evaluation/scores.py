"""From results to figures: per category, over all, and of the segmenter alone."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from segzero.metrics import Convention, Estimate, Overlap, Summary, summarize
from segzero_train.evaluation.scoring import Result


def report(results: Sequence[Result], convention: Convention) -> dict[str, Any]:
    """Summarise results.

    Args:
        results: At least one.
        convention: How empty and failed samples count, one of `metrics.CONVENTIONS`.

    Returns:
        Plain numbers for JSON: `categories.<name>`, `all` and `segmenter`, each with `n`, `giou`,
        `ciou` in [0, 1] and their intervals `giou_95`, `ciou_95`; `malformed`, `convention`, and
        `ignored_pixels`, which didn't count.
    """
    categories: dict[str, list[Overlap]] = defaultdict(list)
    for item in results:
        categories[item.category].append(item.overlap)
    alone = [Overlap(inside, union) for item in results for inside, union in item.segmenter]
    return {
        "convention": convention,
        "malformed": sum(bool(item.malformed) for item in results),
        "ignored_pixels": sum(item.ignored for item in results),
        "categories": {
            category: _plain(summarize(found, convention))
            for category, found in sorted(categories.items())
        },
        "all": _plain(summarize([item.overlap for item in results], convention)),
        "segmenter": _plain(summarize(alone, convention)),
    }


def table(figures: dict[str, Any]) -> str:
    """Format a report for the terminal."""
    lines = [f"{'':16} {'n':>5}  {'gIoU':^22}  {'cIoU':^22}"]
    for name, row in named_rows(figures):
        cells = [_cell(row, metric) for metric in ("giou", "ciou")]
        lines.append(f"{name:16} {row['n']:>5}  {cells[0]:^22}  {cells[1]:^22}")
    lines.append(f"convention: {figures['convention']}; malformed: {figures['malformed']}")
    if excluded := figures.get("ignored_pixels"):
        lines.append(f"{excluded} ignored pixels not counted (--ignored excluded)")
    return "\n".join(lines)


def named_rows(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a report with their names in a table, such as "category 1"."""
    rows = [(f"category {category}", row) for category, row in figures["categories"].items()]
    return [*rows, ("all", figures["all"]), ("segmenter alone", figures["segmenter"])]


def plain(estimate: Estimate) -> tuple[float | None, list[float | None]]:
    """A value and its interval, with None for NaN, which JSON doesn't have."""
    return _number(estimate.value), [_number(estimate.low), _number(estimate.high)]


def _plain(summary: Summary) -> dict[str, Any]:
    giou, giou_95 = plain(summary.giou)
    ciou, ciou_95 = plain(summary.ciou)
    return {"n": summary.n, "giou": giou, "giou_95": giou_95, "ciou": ciou, "ciou_95": ciou_95}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(np.round(value, 4))


def _cell(row: dict[str, Any], metric: str) -> str:
    if row[metric] is None:
        return "-"
    low, high = row[f"{metric}_95"]
    return f"{row[metric]:.3f} [{low:.3f}, {high:.3f}]"
