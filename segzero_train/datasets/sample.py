"""One question of a dataset with its ground truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import IGNORE
from segzero.types import GroundedObject


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A question about an image.

    Attributes:
        name: Unique within its dataset.
        category: The group that it is scored in.
        image: (H, W, 3) uint8 RGB.
        question: What to ask.
        objects: The true boxes and points in pixels, empty if nothing matches.
        masks: The true mask of each object, (H, W) bool.
        ignored: (H, W) bool, the pixels that don't count; None if all do.
        ignored_is_target: Count these pixels as part of the answer, as the authors' evaluation
            does, whose masks are booleans.
    """

    name: str
    category: str
    image: NDArray[np.uint8]
    question: str
    objects: tuple[GroundedObject, ...]
    masks: tuple[NDArray[np.bool_], ...]
    ignored: NDArray[np.bool_] | None = None
    ignored_is_target: bool = False

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8 as `metrics.overlap` takes it: 0 outside, 1 inside, 255 not counted."""
        inside = np.zeros(self.image.shape[:2], np.uint8)
        for mask in self.masks:
            inside[mask] = 1
        if self.ignored is not None:
            inside[self.ignored] = 1 if self.ignored_is_target else IGNORE
        return inside
