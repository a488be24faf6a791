"""The single-object rewards of Seg-Zero (arXiv 2503.06520), each in [0, 1], five to a set.

Values are those of the authors' code (github.com/dvlab-research/Seg-Zero, `seg.py` and
`seg_restrict.py`); where that raises, and catches its own error, the reward is 0. The answer is the
first `{…}` of the completion, wherever it stands. Two sets differ in the keys that they take:

- strict: `bbox`, `points_1`, `points_2`;
- soft: the first key with "bbox" in it, and the first two with "point" (with "points", to
  `point_l1`), in upper or lower case.

Three more sets are for the rows of the paper's tables 1 and 2 whose rewards were not published:
NO_THINKING, BOX and POINTS take soft keys and leave out what their answers don't hold. Points
without a box must lie in the true box.

Coordinates are compared as written, in the units of the completion, with a solution
`<box>(x1,y1),(x2,y2)</box><points>(x,y),(x,y)</points>` of whole numbers in the same units.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from segzero_train.rewards.base import RewardFunction, per_completion, unit
from segzero_train.rewards.format import answer_only, thinking_format

_TRUE_BOX = re.compile(r"<box>\((\d+),(\d+)\),\((\d+),(\d+)\)</box>")
_TRUE_POINTS = re.compile(r"<points>\((\d+),(\d+)\),\((\d+),(\d+)\)</points>")

Pair = tuple[int, int]


def _rewards(strict: bool) -> tuple[RewardFunction, ...]:
    @per_completion
    def answer_format(text: str, solution: str) -> float:
        """1 if the answer is JSON with a box of four values and two points of two; else 0."""
        answer = _answer(text)
        if strict:
            values = [answer[key] for key in ("bbox", "points_1", "points_2")]
            right = all(isinstance(value, list) for value in values)
        else:
            box_key = _box_key(answer)
            points = [key for key in answer if key != box_key and "point" in key.lower()]
            values = [answer[key] for key in (box_key, *points[:2])]
            right = True
        return float(right and [len(value) for value in values] == [4, 2, 2])

    @per_completion
    def box_iou(text: str, solution: str) -> float:
        """1 if the IoU with the true box is above 0.5, areas counting one pixel more; else 0."""
        return float(_iou(_box(_answer(text), strict), _true_box(solution)) > 0.5)

    @per_completion
    def box_l1(text: str, solution: str) -> float:
        """1 if the mean absolute difference of the four coordinates is below 10; else 0."""
        return float(_l1(_box(_answer(text), strict), _true_box(solution)) < 10)

    @per_completion
    def point_l1(text: str, solution: str) -> float:
        """1 if both points lie in the answer's own box, near the true ones; else 0.

        Near: the better of the two pairings has a mean Euclidean distance below 100. Points are cut
        to whole numbers first.
        """
        distance = _point_distance(_answer(text), _true_points(solution), strict)
        return float(distance < 100)

    return thinking_format, answer_format, box_iou, box_l1, point_l1


def soft_accuracy(longest_side: float) -> tuple[RewardFunction, ...]:
    """The accuracy rewards without thresholds (the paper's table 3), each in [0, 1]; soft keys.

    Args:
        longest_side: Of the image, in the units of the completion.

    Returns:
        Rewards for the IoU, the box and the points.
    """

    @per_completion
    def soft_box_iou(text: str, solution: str) -> float:
        """The IoU with the true box."""
        return unit(_iou(_box(_answer(text), strict=False), _true_box(solution)))

    @per_completion
    def soft_box_l1(text: str, solution: str) -> float:
        """1 - (mean absolute difference of the four coordinates) / longest side, at least 0."""
        l1 = _l1(_box(_answer(text), strict=False), _true_box(solution))
        return unit(1 - l1 / longest_side)

    @per_completion
    def soft_point_l1(text: str, solution: str) -> float:
        """1 - (mean distance of the better pairing) / longest side; 0 outside the answer's box."""
        distance = _point_distance(_answer(text), _true_points(solution), strict=False)
        return unit(1 - distance / longest_side)

    return soft_box_iou, soft_box_l1, soft_point_l1


STRICT = _rewards(strict=True)
SOFT = _rewards(strict=False)


@per_completion
def box_format(text: str, solution: str) -> float:
    """1 if the answer is JSON with a box of four values and no point; else 0."""
    answer = _answer(text)
    return float(len(_box(answer, strict=False)) == 4 and len(answer) == 1)


@per_completion
def points_format(text: str, solution: str) -> float:
    """1 if the answer is JSON with two points of two values and no box; else 0."""
    answer = _answer(text)
    named = all("point" in key.lower() for key in answer)
    return float(named and [len(value) for value in answer.values()] == [2, 2])


@per_completion
def points_alone_l1(text: str, solution: str) -> float:
    """As `point_l1`, with the true box in place of the answer's."""
    points = _points(_answer(text), strict=False)
    distance = _pairing(points, _true_points(solution), _true_box(solution))
    return float(distance < 100)


NO_THINKING = (answer_only, *SOFT[1:])
BOX = (thinking_format, box_format, *SOFT[2:4])
POINTS = (thinking_format, points_format, points_alone_l1)


def _answer(text: str) -> dict[str, Any]:
    """The first `{…}` that holds something, as JSON; in linear time, unlike a regular expression.

    Raises ValueError, as all readers here do, or another error of `base.UNSCORABLE`.
    """
    start = text.index("{")
    while (end := text.index("}", start)) == start + 1:
        start = text.index("{", end)
    return json.loads(text[start : end + 1])


def _box_key(answer: dict[str, Any]) -> str:
    if (key := next((key for key in answer if "bbox" in key.lower()), None)) is None:
        raise ValueError("the answer has no box")
    return key


def _box(answer: dict[str, Any], strict: bool) -> Any:
    box = answer["bbox" if strict else _box_key(answer)]
    if len(box) != 4:
        raise ValueError("a box has four coordinates")
    return box


def _points(answer: dict[str, Any], strict: bool) -> tuple[Pair, Pair]:
    keys = (
        ["points_1", "points_2"] if strict else [key for key in answer if "points" in key.lower()]
    )
    first, second = (answer[key] for key in keys[:2])
    return (int(first[0]), int(first[1])), (int(second[0]), int(second[1]))


def _true_box(solution: str) -> tuple[int, ...]:
    if (match := _TRUE_BOX.search(solution)) is None:
        raise ValueError("the solution has no box")
    return tuple(map(int, match.groups()))


def _true_points(solution: str) -> tuple[Pair, Pair]:
    if (match := _TRUE_POINTS.search(solution)) is None:
        raise ValueError("the solution has no points")
    ax, ay, bx, by = map(int, match.groups())
    return (ax, ay), (bx, by)


def _iou(box: Sequence[float], ground_truth: Sequence[float]) -> float:
    x1, y1 = max(box[0], ground_truth[0]), max(box[1], ground_truth[1])
    x2, y2 = min(box[2], ground_truth[2]), min(box[3], ground_truth[3])
    inter = (x2 - x1 + 1) * (y2 - y1 + 1) if x1 < x2 and y1 < y2 else 0
    return float(inter) / (_area(box) + _area(ground_truth) - inter)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def _l1(box: Sequence[float], ground_truth: Sequence[float]) -> float:
    # Added one by one: from Python 3.12 on, sum() rounds floats otherwise.
    x1, y1, x2, y2 = (abs(one - other) for one, other in zip(box, ground_truth, strict=True))
    return (x1 + y1 + x2 + y2) / 4


def _point_distance(answer: dict[str, Any], ground_truth: tuple[Pair, Pair], strict: bool) -> float:
    """Mean distance of the better pairing, infinite if a point lies outside the answer's box."""
    return _pairing(_points(answer, strict), ground_truth, _box(answer, strict))


def _pairing(
    points: tuple[Pair, Pair], ground_truth: tuple[Pair, Pair], box: Sequence[float]
) -> float:
    first, second = points
    if not all(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in (first, second)):
        return math.inf
    straight = _distance(first, ground_truth[0]) + _distance(second, ground_truth[1])
    crossed = _distance(first, ground_truth[1]) + _distance(second, ground_truth[0])
    return min(straight, crossed) / 2


def _distance(point: Pair, ground_truth: Pair) -> float:
    return math.sqrt((point[0] - ground_truth[0]) ** 2 + (point[1] - ground_truth[1]) ** 2)
