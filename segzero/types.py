"""The values that reasoner, segmenter and caller exchange.

Coordinates are floats with the origin at the image's top-left corner, x to the right, y down.
`segzero.reasoning.coordinates` converts between model units and pixels. All values that
`segzero.pipeline` returns are in pixels of the caller's image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True)
class Point:
    """A point.

    Attributes:
        x: From the left edge.
        y: From the top edge.
    """

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in xyxy order.

    Attributes:
        x1: Left edge.
        y1: Top edge.
        x2: Right edge, at least x1.
        y2: Bottom edge, at least y1.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def around(cls, points: Sequence[Point]) -> "Box":
        """The smallest box that holds all points, of which there must be one."""
        across, down = [point.x for point in points], [point.y for point in points]
        return cls(min(across), min(down), max(across), max(down))


@dataclass(frozen=True, slots=True)
class GroundedObject:
    """One object of a reasoning model's answer.

    Attributes:
        box: Around the object; None if the model gave only points.
        points: Up to two points inside the object; none if the model gave only the box.
        label: The model's own name for it; empty if it gave none.
    """

    box: Box | None
    points: tuple[Point, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class ObjectPrompt:
    """An object that somebody shows, instead of asking for it.

    Attributes:
        box: Around the object; None if points show it.
        points: Inside the object; at least one if there is no box.
        negative_points: Outside of it.
        label: A short name.
    """

    box: Box | None = None
    points: tuple[Point, ...] = ()
    negative_points: tuple[Point, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed completion.

    Attributes:
        reasoning: The text between <think> and </think>, stripped.
        objects: In the order of the answer; empty if the model says that nothing matches.
        text: The completion, word for word.
        dropped: One line for each part of the answer that was left out, with the reason.
    """

    reasoning: str
    objects: tuple[GroundedObject, ...]
    text: str
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedObject:
    """One object with its mask.

    Attributes:
        id: 1, 2, … in the order of the answer.
        box: The reasoner's box, in pixels of the image; the mask's if it gave none.
        points: The reasoner's points, in pixels of the image.
        mask: (H, W) bool.
        score: The segmenter's own estimate of the mask's IoU, in [0, 1].
        label: The model's own name for it; empty if it gave none.
    """

    id: int
    box: Box
    points: tuple[Point, ...]
    mask: NDArray[np.bool_]
    score: float
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object in a later frame.

    Attributes:
        id: The id of the SegmentedObject.
        box: Around the mask, in pixels of the image; None while the object is not visible.
        mask: (H, W) bool; all False while the object is not visible.
        score: The model's probability that the object is visible, in [0, 1].
    """

    id: int
    box: Box | None
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The full result for one image and one question.

    Attributes:
        question: The question, without surrounding blanks.
        reasoning: The text between <think> and </think>, stripped.
        text: The completion, word for word.
        size: (width, height) of the image in pixels.
        objects: In the order of the answer; empty if nothing matches.
        dropped: One line for each part of the answer that was left out, with the reason.
    """

    question: str
    reasoning: str
    text: str
    size: tuple[int, int]
    objects: tuple[SegmentedObject, ...]
    dropped: tuple[str, ...] = ()

    def mask(self, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Draw all masks into one.

        Args:
            dtype: np.uint8, or np.uint16 for ids above 255.

        Returns:
            (H, W): 0 is background, k is the object with id k. Where masks overlap, the object with
            the best score counts.
        """
        width, height = self.size
        ids = np.zeros((height, width), dtype)
        for item in sorted(self.objects, key=lambda item: item.score):
            ids[item.mask] = item.id
        return ids
