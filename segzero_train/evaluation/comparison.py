"""Two evaluations of the same questions: the difference of their scores, question by question."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segzero.errors import SegZeroError
from segzero.metrics import CONVENTIONS, Convention, bootstrap, difference
from segzero_train.evaluation.paper_tables import with_interval
from segzero_train.evaluation.runner import finished
from segzero_train.evaluation.scores import plain
from segzero_train.evaluation.scoring import Result
from segzero_train.evaluation.vqa import Answered

_SAME = ("size", "vqa", "ignored")
"""What both must have in common, whatever the questions are."""
_NAMED = ("dataset", "split")
"""What older folders, which have no fingerprints, must have in common besides."""


class CannotCompare(SegZeroError):
    """The other run has other questions, isn't finished, or is no evaluation."""


def other_run(folder: Path, identity: dict[str, Any], result: type) -> list[Any]:
    """The results of another evaluation, which may have been on the same questions.

    Args:
        folder: What its --out named.
        identity: Of this evaluation.
        result: The class of the results.

    Returns:
        Its results by row number.

    Raises:
        CannotCompare: There is no finished evaluation with as many questions of the same kind.
    """
    file = folder / "run.json"
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key in _SAME if there[key] != identity[key]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotCompare(
            f"{folder} holds no evaluation: name a folder that `evaluate --out` wrote"
        ) from error
    if differing:
        told = ", ".join(f"{key} {there[key]} there, {identity[key]} here" for key in differing)
        raise CannotCompare(f"{folder} is an evaluation of other questions ({told})")
    found = finished(folder, result)
    if not found:
        raise CannotCompare(f"{folder} has no answers yet: run its evaluation first")
    results = [found[number] for number in sorted(found)]
    if not all(item.asked for item in results):
        for key in _NAMED:
            if there.get(key) != identity[key]:
                raise CannotCompare(
                    f"{folder} is an evaluation of other questions ({key} {there.get(key)} there, "
                    f"{identity[key]} here)"
                )
    return results


def check_pairs(ours: Sequence[Any], theirs: Sequence[Any], folder: Path) -> None:
    """Raise CannotCompare unless both are answers to the same questions.

    Args:
        ours: Results of this evaluation.
        theirs: Results of the other one.
        folder: Of the other one.
    """
    here, there = ({item.index: item for item in items} for items in (ours, theirs))
    for number, item in here.items():
        if number in there:
            check_pair(item, there[number], folder)
    for numbers, place in ((here.keys() - there.keys(), "here"), (there.keys() - here, "there")):
        if numbers:
            raise CannotCompare(
                f"{len(numbers)} questions were answered {place} only, such as number "
                f"{min(numbers)}: finish or repeat the evaluation in {folder}, or this one"
            )


def check_pair(ours: Any, theirs: Any, folder: Path) -> None:
    """Raise CannotCompare unless two results answer the same question; see `check_pairs`."""
    if ours.asked and theirs.asked:
        if ours.asked == theirs.asked:
            return
        questions = tuple(item.question for item in (ours, theirs))
        differing = (
            f"another picture or ground truth for {questions[0]!r}"
            if questions[0] == questions[1]
            else f"{questions[1]!r}, here {questions[0]!r}"
        )
    else:
        names = tuple(getattr(item, "name", item.index) for item in (ours, theirs))
        if names[0] == names[1]:
            return
        differing = f"row {names[1]}, here {names[0]}"
    raise CannotCompare(
        f"{folder} is an evaluation of other questions: number {ours.index} there is {differing}"
    )


def compare(ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, Any]:
    """The differences of the scores, this evaluation's minus the other one's.

    Args:
        ours: Results of this evaluation.
        theirs: Of the other one, to the same questions in the same order.

    Returns:
        Plain numbers for JSON. For visual questions `n`, `accuracy` and `accuracy_95`; else for
        each convention `categories.<name>` and `all`, each with `n`, `giou`, `ciou` and their
        paired intervals `giou_95`, `ciou_95`. `better` and `worse` count questions.
    """
    if isinstance(ours[0], Answered):
        values = np.array([a.accuracy - b.accuracy for a, b in zip(ours, theirs, strict=True)])
        mean, interval = plain(bootstrap(lambda pick: float(values[pick].mean()), len(values)))
        return {"n": len(values), "accuracy": mean, "accuracy_95": interval, **_counts(values)}
    pairs = list(zip(ours, theirs, strict=True))
    groups: dict[str, list[tuple[Result, Result]]] = defaultdict(list)
    for pair in pairs:
        groups[pair[0].category].append(pair)
    return {
        convention: {
            "categories": {name: _row(groups[name], convention) for name in sorted(groups)},
            "all": _row(pairs, convention),
        }
        for convention in CONVENTIONS
    }


def lines(compared: dict[str, Any], convention: Convention, against: Path) -> list[str]:
    """What `compare` returned, for the terminal; `against` is the other evaluation's folder."""
    if "accuracy" in compared:
        return [f"against {against}: {_told(compared, ('accuracy',))}"]
    return [f"minus {against}, with paired intervals:"] + [
        f"{name:16} {_told(row, ('giou', 'ciou'))}" for name, row in _rows(compared[convention])
    ]


def markdown(compared: dict[str, Any], against: Path) -> str:
    """What `compare` returned for masks, as a section of a Markdown file."""
    found = ["", f"## Minus {against}", "", "With 95 % intervals of the paired bootstrap.", ""]
    found += ["| | convention | gIoU | cIoU | better | worse | n |", "| --- " * 7 + "|"]
    for convention in CONVENTIONS:
        for name, row in _rows(compared[convention]):
            cells = [name, convention, _signed(row, "giou"), _signed(row, "ciou")]
            cells += [str(row[key]) for key in ("better", "worse", "n")]
            found.append(f"| {' | '.join(cells)} |")
    return "\n".join(found) + "\n"


def _rows(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    named = [(f"category {name}", row) for name, row in figures["categories"].items()]
    return [*named, ("all", figures["all"])]


def _row(pairs: Sequence[tuple[Result, Result]], convention: Convention) -> dict[str, Any]:
    ours, theirs = ([pair[side].overlap for pair in pairs] for side in (0, 1))
    found = difference(ours, theirs, convention)
    giou, giou_95 = plain(found.giou)
    ciou, ciou_95 = plain(found.ciou)
    counts = _counts(np.array([a.iou - b.iou for a, b in zip(ours, theirs, strict=True)]))
    return {
        "n": found.n,
        "giou": giou,
        "giou_95": giou_95,
        "ciou": ciou,
        "ciou_95": ciou_95,
        **counts,
    }


def _counts(values: Any) -> dict[str, int]:
    return {"better": int((values > 0).sum()), "worse": int((values < 0).sum())}


def _told(row: dict[str, Any], metrics: Sequence[str]) -> str:
    names = {"giou": "gIoU", "ciou": "cIoU", "accuracy": "accuracy"}
    parts = [f"{names[metric]} {_signed(row, metric)}" for metric in metrics]
    return f"{', '.join(parts)}; better on {row['better']} of {row['n']}, worse on {row['worse']}"


def _signed(row: dict[str, Any], metric: str) -> str:
    return with_interval(row, metric, "{:+.3f} [{:+.3f}, {:+.3f}]", missing="-")
