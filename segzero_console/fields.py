"""The fields of a browser's message, each read with its own check."""

import math
from collections.abc import Mapping
from typing import Any

from segzero.types import Box, ObjectPrompt, Point
from segzero_console.requests import BadRequest, PromptedObject
from segzero_console.text import one_line

MAX_OBJECTS = 120
MAX_POINTS = 64
MAX_NAME = 100
"""Characters of a goal's name, a label or a request's id."""
MAX_STAMP = 2**63 - 1


class Fields:
    """The fields of a message; every method raises BadRequest."""

    def __init__(self, values: Mapping[str, Any], request: str | None = None) -> None:
        self.values = values
        self.request = ""
        self.request = self.name("request", "") if request is None else request

    def fail(self, text: str) -> BadRequest:
        """The error that a message of this page gets."""
        return BadRequest(text, self.request)

    def text(self, key: str) -> str:
        """A text, in one line."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.fail(f"{key} must be text")
        return one_line(value)

    def name(self, key: str, default: str | None = None) -> str:
        """A text of at most MAX_NAME characters, in one line."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise self.fail(f"{key} must be text of at most {MAX_NAME} characters")
        return one_line(value, MAX_NAME)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(f"{key} must be true or false")
        return value

    def whole(self, key: str, most: int) -> int:
        """A whole number from 0 to `most`."""
        value = self.values.get(key)
        if type(value) is not int or not 0 <= value <= most:
            raise self.fail(f"{key} must be a whole number from 0 to {most}")
        return value

    def stamp(self, key: str = "stamp") -> int:
        """Nanoseconds, written in digits: numbers of JavaScript are too short."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.isascii() or not value.isdigit():
            raise self.fail(f"{key} must be nanoseconds, written in digits")
        if len(value) > 19 or int(value) > MAX_STAMP:
            raise self.fail(f"{key} is too large")
        return int(value)

    def optional_stamp(self) -> int | None:
        """The stamp, if there is one."""
        return None if self.values.get("stamp") is None else self.stamp()

    def optional_goal(self) -> str | None:
        """The name of a goal; None for all."""
        return None if self.values.get("goal") is None else self.name("goal")

    def ids(self) -> tuple[int, ...]:
        """Track ids."""
        value = self.values.get("ids")
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_OBJECTS:
            raise self.fail(f"ids must be a list of 1 to {MAX_OBJECTS} whole numbers")
        if any(type(item) is not int or not 0 <= item < 2**32 for item in value):
            raise self.fail("ids must be whole numbers")
        return tuple(value)

    def objects(self, fewest: int = 1) -> tuple[PromptedObject, ...]:
        """Objects of a correction."""
        value = self.values.get("objects")
        if not isinstance(value, list) or not fewest <= len(value) <= MAX_OBJECTS:
            raise self.fail(f"objects must be a list of {fewest} to {MAX_OBJECTS}")
        return tuple(self._object(place, item) for place, item in enumerate(value, start=1))

    def _object(self, place: int, value: Any) -> PromptedObject:
        if not isinstance(value, dict):
            raise self.fail(f"object {place} must be an object of JSON")
        inner = Fields(value, self.request)
        if "id" in value and "box" not in value and not value.get("points"):
            return PromptedObject(None, inner.whole("id", 65535))
        box = value.get("box")
        numbers = None if box is None else self._numbers(f"the box of object {place}", box, 4)
        points = value.get("points") or []
        if not isinstance(points, list) or len(points) > MAX_POINTS:
            raise self.fail(f"object {place} may have at most {MAX_POINTS} points")
        read = [self._numbers(f"a point of object {place}", point, 3) for point in points]
        prompt = ObjectPrompt(
            box=None if numbers is None else Box(*numbers),
            points=tuple(Point(x, y) for x, y, inside in read if inside),
            negative_points=tuple(Point(x, y) for x, y, inside in read if not inside),
            label=inner.name("label", ""),
        )
        if prompt.box is None and not prompt.points:
            raise self.fail(f"object {place} needs a box or a point inside of it")
        return PromptedObject(prompt)

    def _numbers(self, what: str, value: Any, count: int) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise self.fail(f"{what} must have {count} numbers")
        for item in value:
            if type(item) not in (int, float) or abs(item) > 1e6 or not math.isfinite(item):
                raise self.fail(f"{what} has something that is no usable number")
        return tuple(float(item) for item in value)
