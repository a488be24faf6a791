"""Questions about a scene, with the objects that truly answer them.

Categories: 1 names, 2 comparisons and relations, 3 reasoning, 4 several objects, 5 no object. A
question is made only where its answer is certain: "the largest" is larger by a clear margin.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_sim.scene import COLOURS, SHAPES, Scene

CATEGORIES = (1, 2, 3, 4, 5)
_LARGER = 1.2
"""A size comparison counts when one is this many times the other."""
_APART = 0.06
"""A comparison of places counts from this share of the image's width on."""
_PLURAL = {"box": "boxes"} | {shape: f"{shape}s" for shape in SHAPES if shape != "box"}
_USES: dict[str, tuple[str, ...]] = {
    "ball": (
        "what would roll away if the table tipped?",
        "what could I kick into a goal?",
    ),
    "box": ("what could I stack a tower from?", "what has six flat faces?"),
    "cone": ("what has a sharp tip?", "what looks like a party hat?"),
    "mug": ("where is something I could drink from?", "what would hold my coffee?"),
    "cylinder": ("what is shaped like a tin can?", "what could serve as a column?"),
}
_LIKENESS: dict[str, str] = {
    "red": "what has the colour of a ripe tomato?",
    "green": "what has the colour of grass?",
    "blue": "what has the colour of the sky?",
    "yellow": "what has the colour of a banana?",
    "purple": "what has the colour of an aubergine?",
    "orange": "what has the colour of a carrot?",
}


@dataclass(frozen=True, slots=True)
class SeenObject:
    """An object as the frame shows it.

    Attributes:
        id: As in `Frame.ids`.
        shape: One of `scene.SHAPES`.
        colour: One of `scene.COLOURS`.
        half: Half its true width in metres.
        box: Outer edges x1, y1, x2, y2 of its visible pixels, divided by the image's width or
            height.
        point: Centre (x, y) of the visible pixel farthest from its outline, divided likewise.
    """

    id: int
    shape: str
    colour: str
    half: float
    box: tuple[float, float, float, float]
    point: tuple[float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) of the box, in shares of the image."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def name(self) -> str:
        """Such as "red ball"."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer.

    Attributes:
        category: One of CATEGORIES.
        text: What to ask.
        ids: Ids of the objects that answer it, ascending.
    """

    category: int
    text: str
    ids: tuple[int, ...]


def look(scene: Scene, ids: NDArray[np.uint8]) -> tuple[SeenObject, ...]:
    """The visible objects of a scene.

    Args:
        scene: What was rendered.
        ids: (H, W) uint8 instance ids of the frame.

    Returns:
        One entry for each object with a visible pixel, in the scene's order.
    """
    height, width = ids.shape
    seen = []
    for number, item in enumerate(scene.objects, start=1):
        mask = ids == number
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        padded = np.pad(mask, 1).astype(np.uint8)
        inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
        seen.append(
            SeenObject(
                id=number,
                shape=item.shape,
                colour=item.colour,
                half=item.half,
                box=(
                    float(columns[0]) / width,
                    float(rows[0]) / height,
                    float(columns[-1] + 1) / width,
                    float(rows[-1] + 1) / height,
                ),
                point=(float(x + 0.5) / width, float(y + 0.5) / height),
            )
        )
    return tuple(seen)


def mirror(item: SeenObject) -> SeenObject:
    """The object as it looks in the frame's mirror image."""
    x1, y1, x2, y2 = item.box
    x, y = item.point
    return replace(item, box=(1 - x2, y1, 1 - x1, y2), point=(1 - x, y))


def questions(seen: Iterable[SeenObject]) -> list[Question]:
    """All questions of all categories that the objects allow.

    Args:
        seen: Visible objects.

    Returns:
        The questions in a fixed order.
    """
    objects = tuple(seen)
    makers: tuple[tuple[int, Callable[[tuple[SeenObject, ...]], Iterator[_Asked]]], ...] = (
        (1, _names),
        (2, _comparisons),
        (2, _relations),
        (3, _reasoning),
        (4, _several),
        (5, _nothing),
    )
    return [
        Question(category, text, tuple(sorted(item.id for item in found)))
        for category, make in makers
        for text, found in make(objects)
    ]


def sample_question(
    seen: Iterable[SeenObject], category: int, rng: np.random.Generator
) -> Question | None:
    """Draw one question of a category.

    Args:
        seen: Visible objects.
        category: One of CATEGORIES.
        rng: Chooses among the possible questions.

    Returns:
        The question; None if the objects allow none.
    """
    pool = [question for question in questions(seen) if question.category == category]
    return pool[int(rng.integers(len(pool)))] if pool else None


_Asked = tuple[str, tuple[SeenObject, ...]]


def _names(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    for item in objects:
        if _alone(o.name == item.name for o in objects):
            yield f"the {item.name}", (item,)
        if _alone(o.shape == item.shape for o in objects):
            yield f"the {item.shape}", (item,)
        if _alone(o.colour == item.colour for o in objects):
            yield f"the {item.colour} thing", (item,)


def _comparisons(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    groups = [("thing", objects)]
    groups += [(shape, tuple(o for o in objects if o.shape == shape)) for shape in SHAPES]
    groups += [(f"{c} thing", tuple(o for o in objects if o.colour == c)) for c in COLOURS]
    for noun, group in groups:
        if len(group) < 2:
            continue
        by_size = sorted(group, key=lambda o: o.half)
        if by_size[-1].half >= _LARGER * by_size[-2].half:
            yield f"the largest {noun}", (by_size[-1],)
        if by_size[1].half >= _LARGER * by_size[0].half:
            yield f"the smallest {noun}", (by_size[0],)
        by_x = sorted(group, key=lambda o: o.centre[0])
        if by_x[1].centre[0] - by_x[0].centre[0] >= _APART:
            yield f"the leftmost {noun}", (by_x[0],)
        if by_x[-1].centre[0] - by_x[-2].centre[0] >= _APART:
            yield f"the rightmost {noun}", (by_x[-1],)
        by_y = sorted(group, key=lambda o: o.box[3])
        if by_y[-1].box[3] - by_y[-2].box[3] >= _APART:
            yield f"the {noun} closest to the camera", (by_y[-1],)


def _relations(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    for anchor in objects:
        if not _alone(o.name == anchor.name for o in objects):
            continue
        others = [o for o in objects if o is not anchor]
        shifts = [o.centre[0] - anchor.centre[0] for o in others]
        if not shifts or min(abs(shift) for shift in shifts) < _APART / 2:
            continue
        left = tuple(o for o, shift in zip(others, shifts, strict=True) if shift < 0)
        right = tuple(o for o, shift in zip(others, shifts, strict=True) if shift > 0)
        if len(left) == 1:
            yield f"the thing left of the {anchor.name}", left
        if len(right) == 1:
            yield f"the thing right of the {anchor.name}", right


def _reasoning(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    for shape, texts in _USES.items():
        found = tuple(o for o in objects if o.shape == shape)
        if len(found) == 1:
            for text in texts:
                yield text, found
    for colour, text in _LIKENESS.items():
        found = tuple(o for o in objects if o.colour == colour)
        if len(found) == 1:
            yield text, found
    odd = {o.id: o for o in (*_odd(objects, "shape"), *_odd(objects, "colour"))}
    if len(odd) == 1:
        yield "the odd one out", tuple(odd.values())


def _odd(objects: tuple[SeenObject, ...], attribute: str) -> tuple[SeenObject, ...]:
    """The only object that differs where all others, two or more, agree."""
    values = [getattr(o, attribute) for o in objects]
    kinds = set(values)
    if len(objects) < 3 or len(kinds) != 2:
        return ()
    return tuple(o for o, value in zip(objects, values, strict=True) if values.count(value) == 1)


def _several(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    for colour in COLOURS:
        found = tuple(o for o in objects if o.colour == colour)
        if len(found) >= 2:
            yield f"everything {colour}", found
    for shape in SHAPES:
        found = tuple(o for o in objects if o.shape == shape)
        if len(found) >= 2:
            yield f"all {_PLURAL[shape]}", found
            others = tuple(o for o in objects if o.shape != shape)
            if len(others) >= 2:
                yield f"everything that is not a {shape}", others


def _nothing(objects: tuple[SeenObject, ...]) -> Iterator[_Asked]:
    names = {o.name for o in objects}
    shapes = {o.shape for o in objects}
    colours = {o.colour for o in objects}
    for colour, shape in product(COLOURS, SHAPES):
        # The hard ones: the shape or the colour is there, only not together.
        if f"{colour} {shape}" not in names and (colour in colours or shape in shapes):
            yield f"the {colour} {shape}", ()
    for shape in SHAPES:
        if shape not in shapes:
            yield f"the {shape}", ()
            for text in _USES[shape]:
                yield text, ()
    for colour in COLOURS:
        if colour not in colours:
            yield f"everything {colour}", ()


def _alone(matches: Iterable[bool]) -> bool:
    return sum(matches) == 1
