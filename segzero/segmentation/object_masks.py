"""Objects with their masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadPrompt
from segzero.segmentation.segmenter import Segmenter
from segzero.types import Box, GroundedObject, ObjectPrompt, SegmentedObject


def draw_objects(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    objects: Sequence[GroundedObject | ObjectPrompt],
    encoded: Any = None,
) -> tuple[SegmentedObject, ...]:
    """Draw the masks of objects and number them from 1.

    Args:
        segmenter: Draws them.
        image: (H, W, 3) uint8 RGB.
        objects: Boxes and points in pixels of the image.
        encoded: What the segmenter made of the image; None encodes it here.

    Returns:
        The objects with their masks, in the same order. Without a box of its own, an object gets
        the box around its mask.

    Raises:
        BadPrompt: The points of a shown object show nothing.
        DeviceOutOfMemory: The memory is full.
    """
    found = segmenter.segment(image, objects, encoded)
    return tuple(
        SegmentedObject(
            number, item.box or _box_of(number, item, mask), item.points, mask, score, item.label
        )
        for number, (item, (mask, score)) in enumerate(zip(objects, found, strict=True), 1)
    )


def _box_of(place: int, item: GroundedObject | ObjectPrompt, mask: NDArray[np.bool_]) -> Box:
    from segzero.segmentation.tracker import bounding_box

    box = bounding_box(mask)
    if box is None and isinstance(item, GroundedObject):  # an answer with an empty mask is one
        return Box.around(item.points)
    if box is None:
        raise BadPrompt(f"the points of object {place} show nothing: move them, or add a box")
    return box
