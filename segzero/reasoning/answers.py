"""Completion text ↔ Answer, in the coordinates that the model writes.

A completion reads `<think>…</think><answer>…</answer>`. Answer formats, named as their prompts:

- `seg_zero`: one object, `{'bbox': [x1,y1,x2,y2], 'points_1': [x,y], 'points_2': [x,y]}`;
- `vision_reasoner`: a list, `[{"bbox_2d": [x1,y1,x2,y2], "point_2d": [x,y]}, …]`;
- `seg_zero_box`, `seg_zero_points`, `vision_reasoner_box` and `vision_reasoner_points`: the same
  with a box only or with points only, as in Seg-Zero's table 2.

In all, `[]` means that nothing matches. `parse` reads answers in two ways. For use, it takes every
object that can be understood, see `segzero.reasoning.lenient_answers`, and says what it left out.
Rewards and datasets read strictly: what training pays for must not depend on mending.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from segzero.errors import MalformedAnswer
from segzero.reasoning.lenient_answers import MAX_COORDINATE, read_objects
from segzero.types import Answer, Box, GroundedObject, Point

AnswerFormat = Literal[
    "seg_zero",
    "seg_zero_box",
    "seg_zero_points",
    "vision_reasoner",
    "vision_reasoner_box",
    "vision_reasoner_points",
]
FORMATS: tuple[AnswerFormat, ...] = get_args(AnswerFormat)


@dataclass(frozen=True, slots=True)
class Layout:
    """What an answer format holds.

    Attributes:
        keys: The format with the same keys that has both box and points.
        box: Whether an object has a box.
        points: Whether an object has points.
    """

    keys: Literal["seg_zero", "vision_reasoner"]
    box: bool = True
    points: bool = True


LAYOUTS: Mapping[AnswerFormat, Layout] = {
    "seg_zero": Layout("seg_zero"),
    "seg_zero_box": Layout("seg_zero", points=False),
    "seg_zero_points": Layout("seg_zero", box=False),
    "vision_reasoner": Layout("vision_reasoner"),
    "vision_reasoner_box": Layout("vision_reasoner", points=False),
    "vision_reasoner_points": Layout("vision_reasoner", box=False),
}
MAX_OBJECTS = 120
"""Most objects in one answer, as in the authors' reward."""
MAX_ANSWER = 50_000
"""Longest text between the answer tags, in characters: four times what MAX_OBJECTS need."""

# A string in either kind of quotes. An unclosed one runs to the end, so that scanning is linear.
_STRING = re.compile(r""""(?:[^"\\]|\\.)*+"?|'((?:[^'\\]|\\.)*+)'?""", re.DOTALL)
_BRACKET = re.compile(r"[\[{]")

_KEYS: dict[AnswerFormat, re.Pattern[str]] = {
    "seg_zero": re.compile(r"\bpoints_[12]\b"),
    "vision_reasoner": re.compile(r"\b(?:bbox|point)_2d\b"),
}
"""Keys that only one layout has."""


def parse(text: str, answer_format: AnswerFormat, *, strict: bool = False) -> Answer:
    """Parse a completion. Without answer tags, the text after the thinking is the answer.

    Args:
        text: The completion.
        answer_format: Its layout. Only the strict reading depends on it, and whether points without
            a box are an object.
        strict: Whether one bad part makes the whole completion malformed. The answer must then be
            one JSON value, in either kind of quotes, of up to MAX_OBJECTS objects (one for
            `seg_zero`) with one box and one or two points each, or only that of both which the
            layout has.

    Returns:
        The answer in model coordinates, with the corners of each box in order.

    Raises:
        MalformedAnswer: The only error, for any text. The completion neither holds a usable object
            nor says that nothing matches; or it breaks a rule of the strict reading.
    """
    layout = LAYOUTS[answer_format]
    try:
        reasoning, rest = _split_thinking(text)
        if not strict:
            objects, dropped = _read_all(rest, layout)
            return Answer(reasoning=reasoning, objects=objects, text=text, dropped=dropped)
        entries = _entries(_load(_answer_body(rest)))
        limit = 1 if layout.keys == "seg_zero" else MAX_OBJECTS
        if len(entries) > limit:
            raise ValueError(f"the answer has {len(entries)} objects, at most {limit} are allowed")
        objects = tuple(_grounded_object(entry, layout) for entry in entries)
    except ValueError as error:
        raise MalformedAnswer(str(error), text) from error
    return Answer(reasoning=reasoning, objects=objects, text=text)


def format_answer(
    reasoning: str, objects: Sequence[GroundedObject], answer_format: AnswerFormat
) -> str:
    """Write a completion in the layout of the prompt's example.

    Args:
        reasoning: The thinking, without tags.
        objects: In model coordinates, which are rounded to integers. `seg_zero` holds at most one
            object with one or two points, `vision_reasoner` any number with one point each. A
            layout without boxes, or without points, leaves these out.
        answer_format: The layout.

    Returns:
        The completion.

    Raises:
        ValueError: The format can't hold these objects, or the reasoning holds a tag.
    """
    if re.search("</?(think|answer)>", reasoning):
        raise ValueError("the reasoning holds a tag of the answer format")
    layout = LAYOUTS[answer_format]
    if layout.keys == "vision_reasoner":
        body = "[" + ", ".join(_write_listed(item, layout) for item in objects) + "]"
    elif len(objects) > 1:
        raise ValueError(f"seg_zero answers hold one object, not {len(objects)}")
    else:
        body = _write_single(objects[0], layout) if objects else "[]"
    return f"<think> {reasoning.strip()} </think><answer>{body}</answer>"


def written_format(text: str) -> AnswerFormat | None:
    """Tell from its keys in which layout a completion is written.

    Args:
        text: The completion.

    Returns:
        The layout's `keys`; None if it has the keys of none or of several.
    """
    answer = text.rpartition("</think>")[2]
    found = [layout for layout, keys in _KEYS.items() if keys.search(answer)]
    return found[0] if len(found) == 1 else None


def _split_thinking(text: str) -> tuple[str, str]:
    """The thinking and what follows it. The opening tag may be part of the prompt instead."""
    before, closing, rest = text.partition("</think>")
    if not closing:
        if "<think>" in text and "<answer>" not in text:
            raise ValueError("the thinking never ends")
        return "", text
    _, opening, inside = before.partition("<think>")
    return (inside if opening else before).strip(), rest


def _read_all(rest: str, layout: Layout) -> tuple[tuple[GroundedObject, ...], tuple[str, ...]]:
    """The objects between all answer tags, and what was left out."""
    bodies = [part.partition("</answer>") for part in rest.split("<answer>")[1:]]
    body = "\n".join(inside for inside, _, _ in bodies) if bodies else rest
    closed = bool(bodies) and bool(bodies[-1][1]) and len(body) <= MAX_ANSWER
    read = partial(read_objects, most=MAX_OBJECTS, boxless=not layout.box)
    try:
        objects, dropped = read(body[:MAX_ANSWER], closed=closed)
    except ValueError:
        # A stray bracket or quote may have hidden good JSON behind it.
        with contextlib.suppress(ValueError):
            return read(json.dumps(_load(_answer_body(rest))), closed=True)
        raise
    if len(body) > MAX_ANSWER:
        dropped = (*dropped, f"what follows the first {MAX_ANSWER} characters of the answer")
    return objects, dropped


def _answer_body(rest: str) -> str:
    _, opening, inside = rest.partition("<answer>")
    body = inside.partition("</answer>")[0] if opening else rest
    if len(body) > MAX_ANSWER:
        raise ValueError(f"the answer has {len(body)} characters, at most {MAX_ANSWER} are allowed")
    return body


def _load(body: str) -> Any:
    """The first JSON value in `body`, which may stand in a code fence or use single quotes."""
    start = _BRACKET.search(body)
    if start is None:
        raise ValueError("the answer holds no JSON object or list")
    body = _STRING.sub(_double_quoted, body[start.start() :])
    try:
        return json.JSONDecoder().raw_decode(body)[0]
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, or an integer with thousands of digits
        raise ValueError(f"the answer isn't JSON ({error})") from None


def _double_quoted(match: re.Match[str]) -> str:
    inside = match.group(1)
    if inside is None:
        return match.group()
    return '"' + inside.replace("\\'", "'").replace('"', '\\"') + '"'


def _entries(value: Any) -> list[dict[str, Any]]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"the answer lists {_kind(entry)}, not an object")
    return entries


def _grounded_object(entry: dict[str, Any], layout: Layout) -> GroundedObject:
    boxes = [value for key, value in entry.items() if "bbox" in key.lower()]
    if len(boxes) != layout.box:
        wanted = "one" if layout.box else "none"
        raise ValueError(f"an object of the answer has {len(boxes)} boxes, not {wanted}")
    box = _strict_box(boxes[0]) if layout.box else None
    points: list[Point] = []
    for key, value in entry.items():
        if "point" in key.lower():
            # One point under a key, or "points": [[x, y], [x, y]].
            nested = isinstance(value, list) and any(isinstance(item, list) for item in value)
            pairs = value if nested else [value]
            points += [Point(*_numbers(pair, 2, "point")) for pair in pairs]
    if len(points) not in ((1, 2) if layout.points else (0,)):
        wanted = "one or two" if layout.points else "none"
        raise ValueError(f"an object of the answer has {len(points)} points, not {wanted}")
    return GroundedObject(box=box, points=tuple(points))


def _strict_box(value: Any) -> Box:
    x1, y1, x2, y2 = _numbers(value, 4, "box")
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _numbers(value: Any, count: int, what: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"a {what} of the answer isn't a list of {count} numbers")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(f"a {what} of the answer holds {_kind(item)}, not a number")
        # Compared before converting: float() of a huge integer overflows.
        if not abs(item) <= MAX_COORDINATE:  # so written, NaN is refused too
            raise ValueError(f"a {what} of the answer has a coordinate that isn't a usable number")
    return [float(item) for item in value]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _write_single(item: GroundedObject, layout: Layout) -> str:
    parts = [f"'bbox': {_write_box(item.box)}"] if layout.box else []
    if layout.points:
        if len(item.points) not in (1, 2):
            raise ValueError(f"seg_zero objects have one or two points, not {len(item.points)}")
        parts += [
            f"'points_{number}': {_write(point.x, point.y)}"
            for number, point in enumerate(item.points, start=1)
        ]
    return f"{{{', '.join(parts)}}}"


def _write_listed(item: GroundedObject, layout: Layout) -> str:
    parts = [f'"bbox_2d": {_write_box(item.box)}'] if layout.box else []
    if layout.points:
        if len(item.points) != 1:
            raise ValueError(f"vision_reasoner objects have one point, not {len(item.points)}")
        parts.append(f'"point_2d": {_write(item.points[0].x, item.points[0].y)}')
    return f"{{{', '.join(parts)}}}"


def _write_box(box: Box | None) -> str:
    if box is None:
        raise ValueError("this answer format needs a box for each object")
    return _write(box.x1, box.y1, box.x2, box.y2)


def _write(*values: float) -> str:
    return "[" + ",".join(str(round(value)) for value in values) + "]"
