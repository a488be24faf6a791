"""From results to figures: per category, over all, and of the segmenter alone."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from segzero.metrics import Convention, Estimate, Overlap, Summary, bootstrap, summarize
from segzero_train.evaluation.scoring import Result
from segzero_train.evaluation.votes import summaries


def report(results: Sequence[Result], convention: Convention) -> dict[str, Any]:
    """Summarise results.

    Args:
        results: At least one.
        convention: How empty and failed samples count, one of `metrics.CONVENTIONS`.

    Returns:
        Plain numbers for JSON: `categories.<name>`, `all` and `segmenter`, each with `n`, `giou`,
        `ciou` in [0, 1] and their intervals `giou_95`, `ciou_95`; `malformed` and the interval of
        its share, `malformed_95`; `convention`; `ignored_pixels`, which didn't count; `batches`;
        and `samples`, rows by name where answers were sampled.
    """
    categories: dict[str, list[Overlap]] = defaultdict(list)
    for item in results:
        categories[item.category].append(item.overlap)
    failed = np.array([bool(item.malformed) for item in results])
    _, malformed_95 = plain(bootstrap(lambda pick: float(failed[pick].mean()), len(failed)))
    alone = [Overlap(inside, union) for item in results for inside, union in item.segmenter]
    return {
        "convention": convention,
        "malformed": int(failed.sum()),
        "malformed_95": malformed_95,
        "batches": batches(results),
        "ignored_pixels": sum(item.ignored for item in results),
        "categories": {
            category: _plain(summarize(found, convention))
            for category, found in sorted(categories.items())
        },
        "all": _plain(summarize([item.overlap for item in results], convention)),
        "samples": {name: _plain(found) for name, found in summaries(results, convention).items()},
        "segmenter": _plain(summarize(alone, convention)),
    }


def table(figures: dict[str, Any]) -> str:
    """Format a report for the terminal."""
    lines = [f"{'':19} {'n':>5}  {'gIoU':^22}  {'cIoU':^22}"]
    for name, row in named_rows(figures):
        cells = [_cell(row, metric) for metric in ("giou", "ciou")]
        lines.append(f"{name:19} {row['n']:>5}  {cells[0]:^22}  {cells[1]:^22}")
    lines.append(
        f"convention: {figures['convention']}; {malformed_text(figures)}; "
        f"{batch_text(figures['batches'])}"
    )
    if excluded := figures.get("ignored_pixels"):
        lines.append(f"{excluded} ignored pixels not counted (--ignored excluded)")
    return "\n".join(lines)


def batches(results: Sequence[Any]) -> list[int]:
    """The batch sizes of results, ascending; 0 is one that isn't known.

    In half precision the batch changes completions: padding changes how sums are rounded.
    """
    return sorted({item.batch for item in results})


def batch_text(sizes: Sequence[int]) -> str:
    """Batch sizes for a table, such as "batch 8"."""
    return "batch " + " and ".join(str(size) if size else "unknown" for size in sizes)


def malformed_text(figures: dict[str, Any]) -> str:
    """How many completions had no answer, with the interval of their share."""
    low, high = figures["malformed_95"]
    return f"malformed: {figures['malformed']} [{low:.1%}, {high:.1%}]"


def named_rows(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a report with their names in a table, such as "category 1"."""
    rows = [(f"category {category}", row) for category, row in figures["categories"].items()]
    rows.append(("all", figures["all"]))
    rows += figures.get("samples", {}).items()
    return [*rows, ("segmenter alone", figures["segmenter"])]


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
