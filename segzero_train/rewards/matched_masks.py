"""Rewards for each object's mask: answer and truth are matched so that the sum is largest.

`star_accuracy` and `star_stage2_accuracy` follow StAR (arXiv 2603.14382, github.com/ysj9909/StAR,
`verl/utils/reward_score/z_star.py` and, for stage 2, `verl/workers/sam_worker.py`). There boxes and
points are compared in pixels of the squashed image; here they are scaled to these. Where objects of
the truth overlap, the pixels belong to the smaller one, as the datasets store them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import IGNORE
from segzero.types import GroundedObject
from segzero_train.datasets.solutions import parse_solution
from segzero_train.rewards.base import Completion, RewardFunction, completion_text
from segzero_train.rewards.context import RewardContext
from segzero_train.rewards.drawing import Drawn, draw, require_segmenter
from segzero_train.rewards.vision_reasoner import Objects, matched, thresholds

Scores = NDArray[np.float64]

STEPS = ((0.5, 2.0), (0.7, 3.0), (0.8, 4.0))
"""What an IoU above each bound earns, in StAR's first stage."""
STAGE2_STEPS = ((0.3, 1.0), (0.5, 2.0), (0.7, 3.0), (0.8, 4.0), (0.9, 5.0))
"""The same in its second stage."""


_NO_POINT = (np.inf, np.inf)


def in_steps(iou: Scores, steps: Sequence[tuple[float, float]]) -> Scores:
    """What IoUs earn.

    Args:
        iou: Of any shape, in [0, 1].
        steps: Bounds that an IoU must exceed, rising, and what it earns.

    Returns:
        Of the same shape; 0 up to the first bound.
    """
    bounds, values = zip(*steps, strict=True)
    return np.array([0.0, *values])[np.searchsorted(bounds, iou, side="left")]


def make_matched_mask_iou(context: RewardContext) -> RewardFunction:
    """The reward `matched_mask_iou`; raises BadRecipe without a segmenter."""
    require_segmenter(context, "matched_mask_iou")

    def matched_mask_iou(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """The IoU of matched objects, by the larger number of objects, in [0, 1].

        As the panoptic quality counts objects, but without its threshold (arXiv 1801.00868). 1 if
        both are empty; 0 for a malformed completion.
        """
        drawn = draw(context, "matched_mask_iou", completions, columns)
        return [_mean(mask_ious(item), both_empty=1.0) for item in drawn]

    return matched_mask_iou


def make_mask_iou_steps(context: RewardContext) -> RewardFunction:
    """The reward `mask_iou_steps`; raises BadRecipe without a segmenter."""
    require_segmenter(context, "mask_iou_steps")

    def mask_iou_steps(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """As `matched_mask_iou`, with an IoU above 0.5, 0.7 or 0.8 earning 2, 3 or 4."""
        drawn = draw(context, "mask_iou_steps", completions, columns)
        return [_mean(_stepped(mask_ious(item), STEPS), both_empty=4.0) for item in drawn]

    return mask_iou_steps


def make_star_accuracy(context: RewardContext) -> RewardFunction:
    """The reward `star_accuracy`; raises BadRecipe without a segmenter."""
    require_segmenter(context, "star_accuracy")

    def star_accuracy(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """Up to 7 for each object: `mask_iou_steps` and VisionReasoner's box IoU, L1 and point.

        All four are added before objects are matched. 0 where answer or truth is empty.
        """
        drawn = draw(context, "star_accuracy", completions, columns)
        texts = [completion_text(completion) for completion in completions]
        return [
            _star(context, text, truth, item)
            for text, truth, item in zip(texts, solution, drawn, strict=True)
        ]

    return star_accuracy


def make_star_stage2_accuracy(context: RewardContext) -> RewardFunction:
    """The reward `star_stage2_accuracy`; raises BadRecipe without a segmenter."""
    require_segmenter(context, "star_stage2_accuracy")

    def star_stage2_accuracy(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """Twice the steps 1 to 5 for an IoU above 0.3, 0.5, 0.7, 0.8, 0.9, in [0, 10]; masks alone.

        0 where answer or truth is empty.
        """
        drawn = draw(context, "star_stage2_accuracy", completions, columns)
        return [2 * _mean(_stepped(mask_ious(item), STAGE2_STEPS), both_empty=0) for item in drawn]

    return star_stage2_accuracy


def mask_ious(drawn: Drawn) -> Scores | None:
    """The IoU of each of M drawn objects with each of N true ones, (M, N); None if malformed.

    True objects are in the order of their ids. Pixels that aren't counted belong to neither.
    """
    if drawn.masks is None:
        return None
    counted = drawn.ground_truth != IGNORE
    truth = drawn.ground_truth[counted]  # (P,) counted pixels
    sizes = np.bincount(truth, minlength=IGNORE)
    ids = _ids(drawn)
    ious = np.zeros((len(drawn.masks), len(ids)))
    for row, mask in enumerate(drawn.masks):
        inside = mask[counted]  # (P,) bool
        inter = np.bincount(truth[inside], minlength=IGNORE)[ids]  # (N,)
        ious[row] = inter / (inside.sum() + sizes[ids] - inter)
    return ious


def _ids(drawn: Drawn) -> NDArray[np.intp]:
    present = np.unique(drawn.ground_truth).astype(np.intp)
    return present[(present != 0) & (present != IGNORE)]


def _stepped(iou: Scores | None, steps: Sequence[tuple[float, float]]) -> Scores | None:
    return None if iou is None else in_steps(iou, steps)


def _mean(scores: Scores | None, both_empty: float) -> float:
    if scores is None:
        return 0.0
    return both_empty if scores.shape == (0, 0) else matched(scores)


def _star(context: RewardContext, text: str, solution: str, drawn: Drawn) -> float:
    iou, answer = mask_ious(drawn), context.answer(text)
    truth = parse_solution(solution)
    if iou is None or answer is None or not answer.objects or not truth:
        return 0.0
    steps = in_steps(_by_object(iou, _ids(drawn), len(truth)), STEPS)
    scale = max(drawn.ground_truth.shape) / context.longest_side
    return matched(steps + thresholds(_arrays(answer.objects, scale), _arrays(truth, scale)))


def _by_object(iou: Scores, ids: NDArray[np.intp], count: int) -> Scores:
    """(M, ids) → (M, objects): an object without a pixel in the squashed mask has an IoU of 0."""
    if len(ids) == count:
        return iou
    spread = np.zeros((len(iou), count))
    shown = ids <= count
    spread[:, ids[shown] - 1] = iou[:, shown]
    return spread


def _arrays(objects: Sequence[GroundedObject], scale: float) -> Objects:
    """Boxes (N, 4) and first points (N, 2), scaled; what is missing lies infinitely far away."""
    boxes = [(b.x1, b.y1, b.x2, b.y2) if (b := item.box) else 2 * _NO_POINT for item in objects]
    points = [(p.x, p.y) if (p := next(iter(i.points), None)) else _NO_POINT for i in objects]
    return np.array(boxes) * scale, np.array(points) * scale
