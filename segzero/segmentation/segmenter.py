"""Segmentation models: image + boxes and points → masks, then the masks in later frames."""

from collections import defaultdict
from collections.abc import Sequence
from math import ceil
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


def best_hypotheses(
    ious: NDArray[np.float32],
    masks: NDArray[np.bool_],
    objects: Sequence[Prompt],
    shape: tuple[int, int],
) -> NDArray[np.intp]:
    """Choose SAM 2's best scored hypothesis of each object, of those that touch its prompt.

    A score doesn't say that the mask is of the object that is meant: a hypothesis may show another
    one, far from the box. If none touches the prompt, the best scored one counts.

    Args:
        ious: (N, M), estimated for the M hypotheses of N objects.
        masks: (N, M, h, w), the hypotheses at any resolution.
        objects: N prompts in pixels of the image.
        shape: (H, W) of the image.

    Returns:
        (N,) indices into M.
    """
    touching = np.array(
        [
            [bool(window.any()) for window in _at_prompt(item, hypotheses, shape)]
            for item, hypotheses in zip(objects, masks, strict=True)
        ]
    )  # (N, M)
    counted = touching | ~touching.any(axis=1, keepdims=True)
    best: NDArray[np.intp] = np.where(counted, ious, -np.inf).argmax(axis=1)
    return best


def _at_prompt(item: Prompt, masks: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What (M, h, w) masks have in the prompt's box, or else between its outer points."""
    box = item.box
    xs = [box.x1, box.x2] if box else [point.x for point in item.points]
    ys = [box.y1, box.y2] if box else [point.y for point in item.points]
    if not xs:
        return masks  # only points that the object doesn't have
    rows, columns = masks.shape[-2] / shape[0], masks.shape[-1] / shape[1]
    top, left = max(0, int(min(ys) * rows)), max(0, int(min(xs) * columns))
    # One pixel at least, also at the image's last edge.
    bottom = max(ceil(max(ys) * rows), top + 1)
    right = max(ceil(max(xs) * columns), left + 1)
    return masks[:, top:bottom, left:right]
