"""The values that travel between reasoner, segmenter and caller.

Coordinates are floats with the origin at the image's top-left corner, x to the right, y down.
Whether they count image pixels or model units is the business of `segzero.reasoning.coordinates`;
every value that leaves `segzero.pipeline` is in pixels of the caller's image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Point:
    """A point (x, y)."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in xyxy order: left, top, right, bottom; x1 <= x2 and y1 <= y2."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class GroundedObject:
    """One object as the reasoning model places it: a box and one or two points inside it."""

    box: Box
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed completion.

    reasoning: the text between <think> and </think>, stripped.
    objects: in the order of the answer; empty when the model says that nothing matches.
    text: the completion, word for word.
    """

    reasoning: str
    objects: tuple[GroundedObject, ...]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedObject:
    """One object with its mask.

    id: 1, 2, … in the order of the answer.
    box, points: in pixels of the image.
    mask: (H, W) bool.
    score: the segmenter's own estimate of the mask's IoU, in [0, 1].
    """

    id: int
    box: Box
    points: tuple[Point, ...]
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object of a SegmentedObject's id, in a later frame.

    box: around the mask, in pixels of the image; None while the object is not seen.
    mask: (H, W) bool; all False while the object is not seen.
    score: the model's probability that the object is seen, in [0, 1].
    """

    id: int
    box: Box | None
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The full result for one image and one question.

    question: as asked, cleaned of surrounding blanks.
    size: (width, height) of the image in pixels.
    """

    question: str
    reasoning: str
    text: str
    size: tuple[int, int]
    objects: tuple[SegmentedObject, ...]

    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 is background, k is object k; the best score wins an overlap."""
        width, height = self.size
        ids = np.zeros((height, width), np.uint8)
        for item in sorted(self.objects, key=lambda item: item.score):
            ids[item.mask] = item.id
        return ids
