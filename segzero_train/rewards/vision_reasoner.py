"""The multi-object rewards of VisionReasoner: format 0-3, accuracy 0-3, non_repeat 0-1.

Values are those of the authors' code (github.com/dvlab-research/Seg-Zero, `vision_reasoner.py`);
where that raises, and catches its own error, what was earned until then counts, which is 0 for
accuracy. So `[]` has an accuracy of 0 even where it is right: `empty_answer` pays there.

NO_THINKING, BOX and POINTS are for answers without thinking, with a box only and with a point only,
as in Seg-Zero's tables 1 and 2. They leave out what their answers don't hold. A point without a box
must lie in the true box.

Coordinates are compared as written, in the units of the completion, with a solution
`[{"bbox_2d": [x1, y1, x2, y2], "point_2d": [x, y]}, …]` in the same units.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segzero.reasoning.answers import MAX_OBJECTS
from segzero_train.rewards.base import UNSCORABLE, RewardFunction, per_completion
from segzero_train.rewards.format import has_thinking_format, is_answer_only

Objects = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Boxes (N, 4) in xyxy order and points (N, 2)."""
_KEYS = (("bbox_2d", 4), ("point_2d", 2))


@per_completion
def format(text: str, solution: str) -> float:
    """1 for the thinking format, and the mean over the objects of 1 for a box and 1 for a point.

    A box is a list of four under `bbox_2d`, a point a list of two under `point_2d`.
    """
    return float(has_thinking_format(text)) + _answer_format(text, _KEYS)


@per_completion
def format_no_thinking(text: str, solution: str) -> float:
    """As `format`, with 1 for `<answer>…</answer>` alone in place of the thinking format."""
    return float(is_answer_only(text)) + _answer_format(text, _KEYS)


@per_completion
def box_list_format(text: str, solution: str) -> float:
    """1 for the thinking format, and the mean over the objects of 1 for a box."""
    return float(has_thinking_format(text)) + _answer_format(text, _KEYS[:1])


@per_completion
def point_list_format(text: str, solution: str) -> float:
    """1 for the thinking format, and the mean over the objects of 1 for a point."""
    return float(has_thinking_format(text)) + _answer_format(text, _KEYS[1:])


@per_completion
def accuracy(text: str, solution: str) -> float:
    """Up to 3 for each object that is found, averaged over the larger number of objects.

    Objects are matched so that the sum is largest: 1 each for a box IoU above 0.5 (areas counting
    one pixel more), a mean absolute difference of the corners below 10, and a point inside the
    answer's own box at a distance below 30. The first 120 objects count. Coordinates that no 64-bit
    number holds make it 0.
    """
    answer, ground_truth = _objects(_answer(text)), _objects(json.loads(solution))
    return matched(thresholds(answer, ground_truth))


@per_completion
def box_accuracy(text: str, solution: str) -> float:
    """As `accuracy`, for the box alone: up to 2 for each object."""
    boxes = _column(_answer(text), "bbox_2d")
    unplaced = np.zeros((len(boxes), 2))
    iou, l1, _ = _compare((boxes, unplaced), _objects(json.loads(solution)))
    return matched((iou > 0.5).astype(float) + (l1 < 10))


@per_completion
def point_accuracy(text: str, solution: str) -> float:
    """As `accuracy`, for the point alone: up to 1 for each object, inside the true box."""
    points, truth = _column(_answer(text), "point_2d"), _objects(json.loads(solution))
    _, _, distance = _compare((np.zeros((len(points), 4)), points), truth)
    at, box = points[:, None], truth[0][None]
    inside = ((at >= box[..., :2]) & (at <= box[..., 2:])).all(axis=2)  # (M, N)
    return matched(((distance < 30) & inside).astype(float))


@per_completion
def non_repeat(text: str, solution: str) -> float:
    """1, but 0 once two sentences (what stands between full stops) have come before."""
    sentences = [stripped for sentence in text.split(".") if (stripped := sentence.strip())]
    return float(len(sentences) - len(set(sentences)) < 2)


REWARDS: tuple[RewardFunction, ...] = (format, accuracy, non_repeat)
NO_THINKING: tuple[RewardFunction, ...] = (format_no_thinking, accuracy, non_repeat)
BOX: tuple[RewardFunction, ...] = (box_list_format, box_accuracy, non_repeat)
POINTS: tuple[RewardFunction, ...] = (point_list_format, point_accuracy, non_repeat)


def soft_accuracy(longest_side: float) -> RewardFunction:
    """`accuracy` without thresholds (after Seg-Zero's table 3), in [0, 3].

    Args:
        longest_side: Of the image, in the units of the completion.

    Returns:
        The reward function.
    """

    @per_completion
    def soft_accuracy(text: str, solution: str) -> float:
        """As `accuracy`, with the IoU itself, 1 - L1 / longest side, 1 - distance / longest side.

        The last is 0 for a point outside the answer's own box.
        """
        answer, ground_truth = _objects(_answer(text)), _objects(json.loads(solution))
        iou, l1, distance = _compare(answer, ground_truth)
        parts = np.stack([iou, 1 - l1 / longest_side, 1 - distance / longest_side])
        parts = np.clip(np.nan_to_num(parts), 0, 1)
        parts[2] *= _inside(answer)
        return matched(parts.sum(axis=0))

    return soft_accuracy


def thresholds(answer: Objects, ground_truth: Objects) -> NDArray[np.float64]:
    """What each of M answered objects earns with each of N true ones, in {0, 1, 2, 3}.

    Args:
        answer: Its objects.
        ground_truth: The true ones, in the same units.

    Returns:
        (M, N): see `accuracy`.
    """
    iou, l1, distance = _compare(answer, ground_truth)
    near = (distance < 30) & _inside(answer)
    return (iou > 0.5).astype(float) + (l1 < 10) + near


def _answer(text: str) -> Any:
    """The JSON between the first answer tags; ValueError or RecursionError if there is none."""
    start = text.index("<answer>") + len("<answer>")
    return json.loads(text[start : text.index("</answer>", start)].strip())


def _answer_format(text: str, keys: Sequence[tuple[str, int]]) -> float:
    earned = 0.0
    try:
        answer = _answer(text)
        for item in answer:
            right = 0
            for key, length in keys:
                if key in item:
                    value = item[key]
                    right += isinstance(value, list) and len(value) == length
            earned += right / len(answer)
    except UNSCORABLE:
        pass  # the authors keep what the objects before it earned
    return earned


def _objects(answer: Any) -> Objects:
    return _column(answer, "bbox_2d"), _column(answer, "point_2d")


def _column(answer: Any, key: str) -> NDArray[np.float64]:
    return _table([item[key] for item in answer][:MAX_OBJECTS], dict(_KEYS)[key])


def _table(rows: list[Any], width: int) -> NDArray[np.float64]:
    """(N, width) from as many lists; ValueError if there are none or they hold no plain numbers."""
    table = np.array(rows)
    if table.shape != (len(rows), width) or table.dtype.kind not in "iuf":
        raise ValueError(f"not rows of {width} numbers")
    return table.astype(np.float64)


def _compare(answer: Objects, ground_truth: Objects) -> tuple[NDArray[np.float64], ...]:
    """IoU and mean absolute difference of the boxes, and distance of the points, each (M, N)."""
    (boxes, points), (true_boxes, true_points) = answer, ground_truth
    box, true_box = boxes[:, None], true_boxes[None]
    # Completions may hold Infinity and NaN, which JSON as Python reads it allows.
    with np.errstate(all="ignore"):
        start = np.maximum(box[..., :2], true_box[..., :2])
        inter = (np.minimum(box[..., 2:], true_box[..., 2:]) - start + 1).clip(0).prod(axis=2)
        areas = [(item[..., 2:] - item[..., :2] + 1).prod(axis=2) for item in (box, true_box)]
        iou = inter / (areas[0] + areas[1] - inter)
        l1 = np.abs(box - true_box).mean(axis=2)
        distance = np.sqrt(((points[:, None] - true_points[None]) ** 2).sum(axis=2))
    return iou, l1, distance


def _inside(answer: Objects) -> NDArray[np.bool_]:
    """Whether each point lies in its own box, (M, 1)."""
    boxes, points = answer
    inside = (points >= boxes[:, :2]) & (points <= boxes[:, 2:])
    return inside[:, :1] & inside[:, 1:]


def matched(scores: NDArray[np.float64]) -> float:
    """The largest sum of scores over pairs, by the larger number of objects.

    Args:
        scores: (M, N), one of them at least 1.

    Returns:
        The sum divided by the larger of M and N.
    """
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return float(scores[rows, columns].sum()) / max(scores.shape)
