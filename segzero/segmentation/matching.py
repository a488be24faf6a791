"""Which object of one moment is which of another, by their masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_IOU = 0.5
"""Least IoU of two masks of the same object, now and a moment ago."""


def match_masks(
    found: Sequence[NDArray[np.bool_]], known: Sequence[NDArray[np.bool_]]
) -> list[int | None]:
    """Find which known object each found one is, by the IoU of their masks (Hungarian method).

    Args:
        found: (H, W) bool each.
        known: (H, W) bool each; of another size than `found`, none matches.

    Returns:
        For each found mask the index of a known one, or None; no index comes twice.
    """
    from scipy.optimize import linear_sum_assignment  # here: it takes a while to import

    matches: list[int | None] = [None] * len(found)
    if not found or not known or found[0].shape != known[0].shape:
        return matches
    one = np.stack([mask.ravel() for mask in found]).astype(np.float32)
    other = np.stack([mask.ravel() for mask in known]).astype(np.float32)
    both = one @ other.T  # (found, known) pixels in both
    either = one.sum(1)[:, None] + other.sum(1) - both
    ious = both / np.maximum(either, 1)
    for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
        if ious[row, column] >= MIN_IOU:
            matches[row] = int(column)
    return matches
