"""Tells masks of ids from masks whose edges were made soft, by JPEG, drawing or resizing."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.reasoning.answers import MAX_OBJECTS

Raw = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W) numbers of a mask."""

_BLENDED = 0.15
"""Share of blended pixels along the objects' edges. Of 3000 drawn masks one had more, none of them
resized, and none of 4200 masks of tabletops. After resizing by a blend the median was 0.2 and
more."""
_FEWEST_BLENDED = 6
_SMALLEST = 64
"""Pixels of the shorter side below which objects are too small to be told from rims."""
_SQUARE = np.ones((3, 3), np.uint8)


def is_soft(raw: Raw, counts: NDArray, middle: NDArray, has_both: bool) -> bool:
    """Whether the values between black and white belong to edges.

    A value of an edge fills no 3 x 3 pixels, and most of its pixels lie between a lower and a
    higher one. A thin object lies beside the background only. Resizing and JPEG make further values
    that fill no 3 x 3 pixels.

    Args:
        raw: The mask.
        counts: Pixels of each value.
        middle: The values other than black and white.
        has_both: Whether there are black and white.
    """
    if len(middle) > MAX_OBJECTS:
        return True
    low, high = cv2.erode(raw, _SQUARE), cv2.dilate(raw, _SQUARE)
    filled = np.bincount(raw[low == high], minlength=len(counts))
    between = np.bincount(raw[(low < raw) & (raw < high)], minlength=len(counts))
    unfilled = middle[filled[middle] == 0]
    soft = unfilled[2 * between[unfilled] >= counts[unfilled]]
    if len(soft) >= 3:
        return 2 * len(unfilled) >= len(middle)
    # One or two values in all: ids if they count 1, 2, …
    return has_both and len(soft) == len(middle) > 0 and int(middle[-1]) != len(middle)


def is_blended(raw: Raw, white: int) -> bool:
    """Whether ids were resized by a blend, so that rims of lower ids run around the higher ones.

    The rims of a mask that was enlarged are wide. They are thin in every second, fourth … pixel.

    Args:
        raw: The mask.
        white: What isn't counted.
    """
    ids = raw.copy()
    ids[raw == white] = 0
    while not _has_rims(ids):
        if min(ids.shape) < 2 * _SMALLEST:
            return False
        ids = ids[::2, ::2]
    return True


def _has_rims(ids: Raw) -> bool:
    low, high = cv2.erode(ids, _SQUARE), cv2.dilate(ids, _SQUARE)
    at_background = (ids > 0) & (low == 0)
    rim = at_background & (high > ids) & ~_in_filled(ids, low == high)
    lowest = int(ids[ids > 0].min(initial=np.iinfo(ids.dtype).max))
    edge = at_background & (ids > lowest)
    count = int(rim.sum())
    return count >= _FEWEST_BLENDED and count > _BLENDED * int((rim | edge).sum())


def is_trimap(raw: Raw, white: int) -> bool:
    """Whether white touches black nowhere; pixels that don't count border on the background."""
    return not ((cv2.erode(raw, _SQUARE) == 0) & (cv2.dilate(raw, _SQUARE) == white)).any()


def _in_filled(ids: Raw, filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels belong to 3 x 3 pixels of one value."""
    height, width = ids.shape
    inner = np.pad(np.where(filled, ids, 0), 1)  # (H + 2, W + 2)
    found = np.zeros(ids.shape, bool)
    for y in range(3):
        for x in range(3):
            found |= inner[y : y + height, x : x + width] == ids
    return found & (ids > 0)
