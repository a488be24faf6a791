"""Segmentation models: image + boxes and points → masks, then the masks in later frames."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segzero.types import GroundedObject, SegmentedObject

if TYPE_CHECKING:
    import torch

    from segzero.segmentation.tracker import Tracker

ScoredMask = tuple[NDArray[np.bool_], float]

_BATCH = 16
"""Objects decoded at once; bounds the memory for masks at the image's resolution."""


class Segmenter(Protocol):
    """Anything that turns boxes and points into masks and follows them."""

    def encode(self, image: NDArray[np.uint8]) -> Any:
        """What `segment` needs of an image, (H, W, 3) uint8 RGB: it can be had beforehand.

        The one method that another thread may call meanwhile. Raises DeviceOutOfMemory.
        """
        ...

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[GroundedObject],
        encoded: Any = None,
    ) -> list[ScoredMask]:
        """The best mask of each object, in the order of `objects`.

        image: (H, W, 3) uint8 RGB; objects: in its pixels; encoded: from `encode` of this image.
        A mask is (H, W) bool; its score is the model's own estimate of its IoU, in [0, 1].
        An object's mask depends on no other object. Raises DeviceOutOfMemory.
        """
        ...

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> "Tracker":
        """Follow objects, one at least, from their masks in this image.

        Raises CheckpointError if the model has no video memory, or DeviceOutOfMemory.
        """
        ...


def load_segmenter(adapter: str, folder: Path, *, dtype: str, device: "torch.device") -> Segmenter:
    """Load a SAM 2 checkpoint folder with one of `checkpoints.ADAPTERS`."""
    # Imported here: each adapter needs a library that the other does without.
    if adapter == "transformers":
        from segzero.segmentation.sam2_transformers import TransformersSegmenter

        return TransformersSegmenter.load(folder, dtype=dtype, device=device)
    if adapter == "meta":
        from segzero.segmentation.sam2_meta import MetaSegmenter

        return MetaSegmenter.load(folder, dtype=dtype, device=device)
    raise ValueError(f"unknown segmenter adapter {adapter!r}")


def batches(objects: Sequence[GroundedObject]) -> list[list[int]]:
    """Indices of objects to decode together: equally many points, at most _BATCH.

    Padding points would do for unequal ones, but would change the masks a little.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(objects):
        alike[len(item.points)].append(index)
    return [
        group[start : start + _BATCH]
        for group in alike.values()
        for start in range(0, len(group), _BATCH)
    ]
