"""Segmentation models: image + boxes and points → masks, then the masks in later frames."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segzero.types import GroundedObject, ObjectPrompt, Point, SegmentedObject

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

ScoredMask = tuple[NDArray[np.bool_], float]
Prompt = GroundedObject | ObjectPrompt

_BATCH = 16
"""Objects decoded at once; it bounds the memory for masks at the image's resolution."""


class Segmenter(Protocol):
    """A model that draws masks for boxes and points, and follows them."""

    def encode(self, image: NDArray[np.uint8]) -> Any:
        """Compute beforehand what `segment` needs of an image.

        Another thread may call this method, and no other, at the same time.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The argument `encoded` of `segment`.

        Raises:
            DeviceOutOfMemory: the device has too little memory.
        """
        ...

    def encode_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Any]:
        """Encode several images at once.

        Args:
            images: (H, W, 3) uint8 RGB each; their sizes may differ.

        Returns:
            What `encode` returns for each, except for rounding.

        Raises:
            DeviceOutOfMemory: the device has too little memory.
        """
        ...

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[Prompt],
        encoded: Any = None,
    ) -> list[ScoredMask]:
        """Draw the best mask of each object; it depends on no other object.

        Args:
            image: (H, W, 3) uint8 RGB.
            objects: boxes and points in pixels of the image; each with a box or a point inside.
            encoded: from `encode` of this image; computed here if it is None.

        Returns:
            For each object, in order: an (H, W) bool mask, and the model's own estimate of the
            mask's IoU, in [0, 1].

        Raises:
            DeviceOutOfMemory: the device has too little memory.
        """
        ...

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> "Tracker":
        """Follow objects from their masks in this image.

        Args:
            image: (H, W, 3) uint8 RGB.
            objects: what `segment` found in it, one at least.

        Returns:
            A tracker that stands at this image.

        Raises:
            CheckpointError: the model has no video memory.
            DeviceOutOfMemory: the device has too little memory.
        """
        ...


def batches(objects: Sequence[Prompt]) -> list[list[int]]:
    """Group objects that are decoded together: all with or without boxes, equally many points.

    Padding points would allow unequal numbers, but change the masks a little.

    Args:
        objects: any number of objects.

    Returns:
        Groups of indices into `objects`, of at most _BATCH.
    """
    alike: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for index, item in enumerate(objects):
        alike[item.box is None, len(labelled_points(item))].append(index)
    return [
        group[start : start + _BATCH]
        for group in alike.values()
        for start in range(0, len(group), _BATCH)
    ]


def labelled_points(item: Prompt) -> list[tuple[Point, int]]:
    """The points of an object with SAM 2's labels: 1 inside, 0 outside."""
    negative = item.negative_points if isinstance(item, ObjectPrompt) else ()
    return [*((point, 1) for point in item.points), *((point, 0) for point in negative)]
