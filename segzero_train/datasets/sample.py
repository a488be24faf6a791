"""One question of a dataset with its truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segzero.types import GroundedObject


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A question about an image.

    name: tells this sample from all others of its dataset.
    tier: the group that it is scored in.
    image: (H, W, 3) uint8 RGB.
    objects: the true boxes and points in pixels, empty if nothing matches.
    masks: the true mask of each object, (H, W) bool.
    """

    name: str
    tier: str
    image: NDArray[np.uint8]
    question: str
    objects: tuple[GroundedObject, ...]
    masks: tuple[NDArray[np.bool_], ...]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool: all objects together."""
        blank = np.zeros(self.image.shape[:2], bool)
        return np.logical_or.reduce([blank, *self.masks])
