"""A vote over masks: what most of several answers to a question agree on.

StAR (arXiv 2603.14382) votes at inference. Here the greedy answer names the objects, and sampled
answers vote on their pixels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segzero.types import SegmentedObject


def vote(
    objects: Sequence[SegmentedObject], others: Sequence[Sequence[SegmentedObject]]
) -> tuple[SegmentedObject, ...]:
    """Let other answers vote on the pixels of one answer's objects.

    Each of the others' objects belongs to the one that it overlaps most, as matched over all.

    Args:
        objects: Of the answer; it votes, too.
        others: Of the other usable answers, with masks of the same size.

    Returns:
        The objects, each with the pixels that more than half of all answers hold. An object without
        such a pixel is left out; what the answer doesn't name is not added.
    """
    counts = [item.mask.astype(np.int32) for item in objects]
    for other in others:
        for number, mask in _matched(objects, other):
            counts[number] += mask
    masks = [2 * count > len(others) + 1 for count in counts]
    voted = [replace(item, mask=mask) for item, mask in zip(objects, masks, strict=True)]
    kept = [item for item in voted if item.mask.any()]
    return tuple(replace(item, id=number) for number, item in enumerate(kept, start=1))


def _matched(
    objects: Sequence[SegmentedObject], other: Sequence[SegmentedObject]
) -> list[tuple[int, NDArray[np.bool_]]]:
    from scipy.optimize import linear_sum_assignment  # takes a while, and few vote

    overlaps = np.array([[_iou(one.mask, two.mask) for two in other] for one in objects])
    if not overlaps.size:
        return []
    pairs = zip(*linear_sum_assignment(overlaps, maximize=True), strict=True)
    return [(int(row), other[column].mask) for row, column in pairs if overlaps[row, column]]


def _iou(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 0.0
