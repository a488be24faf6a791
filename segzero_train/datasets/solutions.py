"""The texts of solutions in both styles of the published datasets."""

import json
import re
from collections.abc import Sequence
from typing import Literal, get_args

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import parse
from segzero.types import Box, GroundedObject, Point

SolutionStyle = Literal["seg_zero", "vision_reasoner"]
SOLUTION_STYLES: tuple[SolutionStyle, ...] = get_args(SolutionStyle)
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_PAIR = rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)"
_SINGLE = re.compile(
    rf"\s*<box>{_PAIR}\s*,\s*{_PAIR}</box>\s*<points>{_PAIR}\s*,\s*{_PAIR}</points>\s*"
)


def parse_solution(text: str) -> tuple[GroundedObject, ...]:
    """Read a `solution` in either style.

    Args:
        text: As the datasets store it.

    Returns:
        Its objects, coordinates as written.

    Raises:
        ValueError: It is in neither style.
    """
    if match := _SINGLE.fullmatch(text):
        x1, y1, x2, y2, *points = map(float, match.groups())
        box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        return (GroundedObject(box, (Point(*points[:2]), Point(*points[2:]))),)
    try:
        json.loads(text)
        return parse(f"<answer>{text}</answer>", "vision_reasoner", strict=True).objects
    except (MalformedAnswer, ValueError) as error:
        reason = error.reason if isinstance(error, MalformedAnswer) else "no JSON list either"
        raise ValueError(
            f"it isn't <box>(x,y),(x,y)</box><points>(x,y),(x,y)</points>, and {reason}"
        ) from error


def format_solution(objects: Sequence[GroundedObject], style: str) -> str:
    """Write a `solution`, with coordinates rounded to integers.

    Args:
        objects: Exactly one with two points for `seg_zero`; any number for `vision_reasoner`, which
            keeps the first point of each.
        style: One of SOLUTION_STYLES.

    Returns:
        The text.

    Raises:
        ValueError: The style is unknown or doesn't fit the objects.
    """
    if style not in SOLUTION_STYLES:
        raise ValueError(f"unknown style {style!r}; there are {', '.join(SOLUTION_STYLES)}")
    if style == "vision_reasoner":
        listed = [
            {"bbox_2d": _whole(*box_corners(item.box)), "point_2d": _whole(*_pair(item.points[0]))}
            for item in objects
        ]
        return json.dumps(listed)
    if len(objects) != 1 or len(objects[0].points) != 2:
        raise ValueError("a solution in the style seg_zero has one object with two points")
    x1, y1, x2, y2 = _whole(*box_corners(objects[0].box))
    (ax, ay), (bx, by) = (_whole(*_pair(point)) for point in objects[0].points)
    return f"<box>({x1},{y1}),({x2},{y2})</box><points>({ax},{ay}),({bx},{by})</points>"


def box_corners(box: Box | None) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of an object's box; raises ValueError without one."""
    if box is None:
        raise ValueError("an object of a solution has a box")
    return box.x1, box.y1, box.x2, box.y2


def _pair(point: Point) -> tuple[float, float]:
    return point.x, point.y


def _whole(*values: float) -> list[int]:
    return [int(value + 0.5) for value in values]
