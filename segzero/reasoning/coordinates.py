"""Model space ↔ image space.

What the numbers in a completion count is a property of the checkpoint, stated in its profile:

- `absolute_pixels` (Qwen2.5-VL): pixels of the image after the processor's resize;
- `relative_1000` (Qwen3-VL): thousandths of the width and of the height.

Sizes are (width, height) in pixels; x and y have separate scales. A box spans 0…width and 0…height,
a point lies on a pixel 0…width-1, 0…height-1.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from segzero.errors import MalformedAnswer
from segzero.types import Answer, Box, GroundedObject, Point

Size = tuple[int, int]

Coordinates = Literal["absolute_pixels", "relative_1000"]
Rounding = Literal["round", "half_up"]
CONVENTIONS: tuple[Coordinates, ...] = get_args(Coordinates)


def _round_half_even(value: float, factor: float) -> float:
    return float(round(int(value) * factor))


def _round_half_up(value: float, factor: float) -> float:
    return float(int(value * factor + 0.5))


ROUNDINGS: dict[Rounding, Callable[[float, float], float]] = {
    "round": _round_half_even,  # the authors' single-object code
    "half_up": _round_half_up,  # their multi-object code
}


def to_image(
    answer: Answer, convention: Coordinates, model_size: Size, image_size: Size, rounding: Rounding
) -> Answer:
    """Scale an answer to whole pixels of the image, and clip boxes and points to it.

    Objects whose box has no part in the image are left out; without a box, those of which no point
    lies in it.

    Args:
        answer: In model coordinates.
        convention: What its numbers count.
        model_size: (width, height) in pixels of the image after the processor's resize.
        image_size: (width, height) in pixels of the image.
        rounding: How scaled coordinates become whole pixels.

    Returns:
        The answer in pixels of the image.

    Raises:
        MalformedAnswer: There are objects, and each lies outside the image.
    """
    scale = ROUNDINGS[rounding]
    model_width, model_height = _extent(convention, model_size)
    width, height = image_size
    fx, fy = width / model_width, height / model_height

    def move(item: GroundedObject) -> GroundedObject | None:
        places = [(scale(point.x, fx), scale(point.y, fy)) for point in item.points]
        points = tuple(Point(_clip(x, width - 1), _clip(y, height - 1)) for x, y in places)
        if item.box is None:
            inside = any(0 <= x <= width and 0 <= y <= height for x, y in places)
            return replace(item, points=points) if inside else None
        box = Box(
            _clip(scale(item.box.x1, fx), width),
            _clip(scale(item.box.y1, fy), height),
            _clip(scale(item.box.x2, fx), width),
            _clip(scale(item.box.y2, fy), height),
        )
        if box.x1 >= box.x2 or box.y1 >= box.y2:
            return None
        return replace(item, box=box, points=points)

    objects = tuple(moved for item in answer.objects if (moved := move(item)) is not None)
    outside = len(answer.objects) - len(objects)
    if outside and not objects:
        what = "a box" if answer.objects[0].box else "an object"
        raise MalformedAnswer(f"{what} of the answer covers nothing of the image", answer.text)
    if outside:
        boxes = "a box covers" if outside == 1 else f"{outside} boxes cover"
        answer = replace(answer, dropped=(*answer.dropped, f"{boxes} nothing of the image"))
    return replace(answer, objects=objects)


def to_model(answer: Answer, convention: Coordinates, model_size: Size, image_size: Size) -> Answer:
    """Scale an answer to model coordinates: the inverse of `to_image`.

    Args:
        answer: In pixels of the image.
        convention: What the model's numbers count.
        model_size: (width, height) in pixels of the image after the processor's resize.
        image_size: (width, height) in pixels of the image.

    Returns:
        The answer in model coordinates, rounded to integers.
    """
    model_width, model_height = _extent(convention, model_size)
    fx, fy = model_width / image_size[0], model_height / image_size[1]

    def move(item: GroundedObject) -> GroundedObject:
        box = item.box
        return replace(
            item,
            box=box
            and Box(
                _round_half_up(box.x1, fx),
                _round_half_up(box.y1, fy),
                _round_half_up(box.x2, fx),
                _round_half_up(box.y2, fy),
            ),
            points=tuple(
                Point(_round_half_up(point.x, fx), _round_half_up(point.y, fy))
                for point in item.points
            ),
        )

    return replace(answer, objects=tuple(move(item) for item in answer.objects))


def _extent(convention: Coordinates, model_size: Size) -> Size:
    """The numbers that stand for the image's right and bottom edge."""
    return model_size if convention == "absolute_pixels" else (1000, 1000)


def _clip(value: float, limit: int) -> float:
    return min(max(value, 0.0), float(limit))
