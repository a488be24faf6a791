"""Checks of what callers give, before any model runs."""

import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadImage, BadPrompt
from segzero.types import GroundedObject, ObjectPrompt

MIN_SIDE, MAX_SIDE = 8, 16384
"""Smallest and largest side of an image, in pixels."""


def check_image(image: NDArray[np.uint8]) -> None:
    """Check that an image can be used.

    Args:
        image: Should be (H, W, 3) uint8 with sides of MIN_SIDE to MAX_SIDE pixels.

    Raises:
        BadImage: It isn't.
    """
    if not isinstance(image, np.ndarray):
        raise BadImage(f"the image must be a NumPy array, not {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise BadImage(f"the image must have shape (height, width, 3), not {image.shape}")
    if image.dtype != np.uint8:
        raise BadImage(f"the image must be uint8 in 0…255, not {image.dtype}")
    height, width = image.shape[:2]
    if not (min(height, width) >= MIN_SIDE and max(height, width) <= MAX_SIDE):
        raise BadImage(
            f"the image is {width}x{height} pixels; each side must be {MIN_SIDE} to {MAX_SIDE}"
        )


def check_prompt(place: int, item: GroundedObject | ObjectPrompt, size: tuple[int, int]) -> None:
    """Check that an object can be drawn.

    Args:
        place: Its number, for the error.
        item: The object.
        size: (width, height) of the image in pixels.

    Raises:
        BadPrompt: It has neither box nor point, or they don't lie in the image.
    """
    width, height = size
    box = item.box
    if box is None and not item.points:
        raise BadPrompt(f"object {place} has neither a box nor a point inside: give it one")
    if box is not None:
        inside = box.x1 < width and box.y1 < height and box.x2 > 0 and box.y2 > 0
        if not (box.x1 < box.x2 and box.y1 < box.y2 and inside):
            raise BadPrompt(
                f"the box of object {place} covers nothing of the {width}x{height} image"
            )
    negative = item.negative_points if isinstance(item, ObjectPrompt) else ()
    for point in (*item.points, *negative):
        if not (0 <= point.x < width and 0 <= point.y < height):
            raise BadPrompt(f"a point of object {place} is outside of the {width}x{height} image")
