"""`python -m segzero_train.evaluate`: how well does a profile answer a dataset's questions?

For each tier gIoU and cIoU with 95 % intervals, and beside them the segmenter alone, given the
true boxes and points: the most that a perfect reasoner could reach.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from segzero.errors import MalformedAnswer, SegZeroError
from segzero.metrics import CONVENTIONS, Estimate, Overlap, Summary, overlap, summarize
from segzero.pipeline import SegZero
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample


@dataclass(slots=True)
class Scores:
    """What was measured so far, per tier; `segmenter` holds one overlap for each object."""

    tiers: defaultdict[str, list[Overlap]] = field(default_factory=lambda: defaultdict(list))
    segmenter: list[Overlap] = field(default_factory=list)
    malformed: int = 0


def evaluate(model: SegZero, samples: Iterable[Sample]) -> Scores:
    """Ask every question; an answer that can't be parsed counts as an empty one that failed."""
    scores = Scores()
    for sample in samples:
        try:
            predicted = model.ask(sample.image, sample.question).mask() > 0
        except MalformedAnswer:
            predicted = None
            scores.malformed += 1
        scores.tiers[sample.tier].append(overlap(predicted, sample.mask))
        alone = model.segment(sample.image, sample.objects)
        scores.segmenter += [
            overlap(found.mask, truth) for found, truth in zip(alone, sample.masks, strict=True)
        ]
    return scores


def report(scores: Scores, convention: str) -> dict[str, Any]:
    """The figures as plain numbers: `tiers.<k>.giou`, `.ciou`, `.n`, their intervals, and all."""
    everything = [item for tier in scores.tiers.values() for item in tier]
    return {
        "convention": convention,
        "malformed": scores.malformed,
        "tiers": {
            tier: _plain(summarize(found, convention))
            for tier, found in sorted(scores.tiers.items())
        },
        "all": _plain(summarize(everything, convention)),
        "segmenter": _plain(summarize(scores.segmenter, convention)),
    }


def table(figures: dict[str, Any]) -> str:
    """The report as a table for the terminal."""
    rows = [(f"tier {tier}", row) for tier, row in figures["tiers"].items()]
    rows += [("all", figures["all"]), ("segmenter alone", figures["segmenter"])]
    lines = [f"{'':16} {'n':>5}  {'gIoU':^22}  {'cIoU':^22}"]
    for name, row in rows:
        cells = [_cell(row, metric) for metric in ("giou", "ciou")]
        lines.append(f"{name:16} {row['n']:>5}  {cells[0]:^22}  {cells[1]:^22}")
    lines.append(f"convention: {figures['convention']}; malformed: {figures['malformed']}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m segzero_train.evaluate", description=__doc__)
    parser.add_argument("--profile", default="demo", help="a profile's name or its YAML file")
    parser.add_argument("--dataset", choices=["tabletop"], default="tabletop")
    parser.add_argument("--split", choices=sorted(tabletop.SPLITS), default="test")
    parser.add_argument("-n", "--size", type=int, default=300, help="how many questions")
    parser.add_argument("--convention", choices=CONVENTIONS, default="lisa")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options = parser.parse_args(arguments)
    try:
        if options.json is not None:
            _check_writable(options.json)
        model = SegZero.load(options.profile, options.device)
        samples = tabletop.samples(options.split, options.size)
        scores = evaluate(model, tqdm(samples, total=options.size, unit="question"))
    except (SegZeroError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    figures = report(scores, options.convention)
    print(table(figures))
    if options.json is not None:
        run = {key: getattr(options, key) for key in ("profile", "dataset", "split", "size")}
        options.json.write_text(json.dumps(run | figures, indent=2) + "\n")
    return 0


def _check_writable(file: Path) -> None:
    """Fail before the work, not after it."""
    if not file.parent.is_dir():
        raise OSError(f"there is no folder {file.parent} to write {file.name} to: make it first")


def _plain(summary: Summary) -> dict[str, Any]:
    return {
        "n": summary.n,
        "giou": _number(summary.giou.value),
        "giou_95": _interval(summary.giou),
        "ciou": _number(summary.ciou.value),
        "ciou_95": _interval(summary.ciou),
    }


def _interval(estimate: Estimate) -> list[float | None]:
    return [_number(estimate.low), _number(estimate.high)]


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(np.round(value, 4))


def _cell(row: dict[str, Any], metric: str) -> str:
    if row[metric] is None:
        return "-"
    low, high = row[f"{metric}_95"]
    return f"{row[metric]:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
