"""From the values of an answer to its objects; one that can't be used leaves the others alone."""

import re
from collections.abc import Callable, Iterator, Sequence

from segzero.reasoning.lenient_json import Cut, Pairs, Value, read_number, read_values
from segzero.types import Box, GroundedObject, Point

MAX_COORDINATE = 1e6
"""Largest magnitude of a coordinate; no image is that large."""
MAX_POINTS = 2
"""Most points of one object; further ones are left out."""
MAX_LABEL = 100
"""Longest label, in characters."""
_MOST_REASONS = 8
_NUMBERS = re.compile(r"(?=\D*+\d)[\s\d.,;，、．()\[\]+−-]++")
_ESCAPED_KEY, _KEY = re.compile(r'\\"\w*box'), re.compile(r"""(?<!\\)["'\s{]\w*box""")
_COMMENT = re.compile(r"//|/\*|#\s")
_LABEL_KEYS = ("label", "name")
_BOX_KEYS = ("box", "boundingbox", "bounding_box", "bounding box")
_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
_POINT = (("x", "y"),)


def read_objects(
    body: str, *, closed: bool, most: int, boxless: bool = False
) -> tuple[tuple[GroundedObject, ...], tuple[str, ...]]:
    """Read the objects of an answer.

    An object is a box with one or two points. Where no object of the answer has a point, boxes
    alone are objects too: untrained models write these. Where others have one, an object without is
    incomplete.

    Args:
        body: The text of the answer, without tags.
        closed: Whether the answer came to its end. If not, an object without its last brace was cut
            off.
        most: How many objects are read; those behind them are left out.
        boxless: Whether points without a box are an object.

    Returns:
        The objects in the units of the model, none if the answer says that nothing matches; and one
        line for each part that was left out.

    Raises:
        ValueError: There is no usable object, nor does the answer say that nothing matches.
    """
    if _ESCAPED_KEY.search(body) and not _KEY.search(body):
        body = body.replace('\\"', '"')  # JSON within a text of JSON
    values = read_values(body, closed=closed)
    entries = [entry for value in values for entry in _entries(value)]
    if not entries and _KEY.search(body):  # what looks like a comment may hold the answer
        values = read_values(_COMMENT.sub(" ", body), closed=closed)
        entries = [entry for value in values for entry in _entries(value)]
    read: list[tuple[int, GroundedObject]] = []
    dropped: list[str] = []
    for number, entry in enumerate(entries, start=1):
        try:
            found, left_out = _objects(entry, boxless)
        except ValueError as error:
            dropped.append(f"object {number} {error}")
            continue
        read += [(number, item) for item in found]
        dropped += [f"object {number} {reason}" for reason in left_out]
    if any(item.points for _, item in read):
        dropped += [f"object {number} has no point" for number, item in read if not item.points]
        read = [(number, item) for number, item in read if item.points]
    if len(read) > most:
        dropped.append(f"{len(read) - most} objects behind the first {most}")
    if not read and not (not entries and any(map(_says_nothing, values))) and not _is_none(body):
        reason = f": {dropped[0]}" if dropped else ""
        raise ValueError(
            f"the answer holds no object with a {'point' if boxless else 'box'}{reason}"
        )
    return tuple(item for _, item in read[:most]), _first(dropped)


def _is_none(body: str) -> bool:
    return body.strip().strip("`.").strip().lower() in ("none", "null")


def _says_nothing(value: Value) -> bool:
    return value is None or (isinstance(value, list) and all(map(_says_nothing, value)))


def _first(reasons: Sequence[str]) -> tuple[str, ...]:
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], *([f"{more} more"] if more > 0 else []))


def _entries(
    value: Value, *, under_key: bool = False, in_text: bool = False
) -> Iterator[Pairs | list[Value]]:
    """What is meant as an object: boxes or points under keys, or a list of four numbers."""
    if isinstance(value, list):
        if not under_key and sum(isinstance(item, float) for item in value) >= 4:
            yield value
        for item in value:
            yield from _entries(item, under_key=under_key, in_text=in_text)
    elif isinstance(value, str) and "box" in value and not in_text:
        written = [
            entry
            for item in read_values(value, closed=True)
            for entry in _entries(item, under_key=under_key, in_text=True)
        ]
        # A key that lost its value was meant as an object, too.
        yield from written or ([Pairs(())] if _is_box(value) and not under_key else [])
    elif isinstance(value, Pairs):
        inner: list[Pairs | list[Value]] = []
        for key, item in value.items:
            if not (_is_box(key) or _is_point(key)):
                under_key = bool(key) or not isinstance(item, list)
                inner += _entries(item, under_key=under_key, in_text=in_text)
        # An object around others, such as {"objects": […]}, is none itself.
        if not inner or any(_is_box(key) for key, _ in value.items):
            yield value
        yield from inner


def _is_box(key: str) -> bool:
    return "bbox" in key.lower() or key.lower() in _BOX_KEYS


def _is_point(key: str) -> bool:
    return "point" in key.lower() and "label" not in key.lower()


def _objects(
    entry: Pairs | list[Value], boxless: bool
) -> tuple[list[GroundedObject], tuple[str, ...]]:
    """The objects of one entry, which are several where several boxes share it."""
    if isinstance(entry, list):
        raise ValueError("is a list of numbers without keys")
    if any(isinstance(value, Cut) for _, value in entry.items):
        raise ValueError("is cut off")
    boxes = [_box(row) for row in _rows(entry, _is_box, 4, "box", _CORNERS)]
    rows = _rows(entry, _is_point, 2, "point", _POINT)
    points = tuple(Point(*row) for row in rows)
    if not boxes and not (boxless and points):
        raise ValueError("has no point" if boxless else "has no box")
    label = _label(entry)
    if len(boxes) <= 1:
        box = boxes[0] if boxes else None
        more = len(points) - MAX_POINTS
        left_out = (f"has {len(points)} points, of which {MAX_POINTS} count",) if more > 0 else ()
        return [GroundedObject(box, points[:MAX_POINTS], label)], left_out
    if points and len(points) != len(boxes):
        raise ValueError(f"has {len(boxes)} boxes and {len(points)} points")
    return [GroundedObject(box, points[index : index + 1]) for index, box in enumerate(boxes)], ()


def _label(entry: Pairs) -> str:
    """The model's own name of the object in one line, as terminals and messages can show it."""
    for key, value in entry.items:
        if key.lower() in _LABEL_KEYS and isinstance(value, str):
            shown = "".join(c if c.isprintable() else " " for c in value[: 4 * MAX_LABEL])
            return " ".join(shown.split())[:MAX_LABEL]
    return ""


def _box(row: Sequence[float]) -> Box:
    x1, y1, x2, y2 = row
    if x1 == x2 or y1 == y2:
        raise ValueError("has a box without width or height")
    if max(row) <= 1 and any(value != int(value) for value in row):
        raise ValueError("has a box in fractions of the image, which no profile means")
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _rows(
    entry: Pairs,
    wanted: Callable[[str], bool],
    width: int,
    what: str,
    names: Sequence[Sequence[str]],
) -> list[list[float]]:
    """The numbers under all keys that are wanted, in rows of `width`."""
    rows: list[list[float]] = []
    for key, value in entry.items:
        # Other values under such a key say no place: a count, a kind, None.
        if wanted(key) and (
            isinstance(value, list | Pairs)
            or (isinstance(value, str) and _NUMBERS.fullmatch(value))
        ):
            rows += [row for row in _nested(value, what, names) if row]
    if width == 4 and [len(row) for row in rows] == [2, 2]:
        rows = [rows[0] + rows[1]]  # two corners
    for row in rows:
        if len(row) != width:
            raise ValueError(f"has a {what} of {len(row)} numbers, not {width}")
    return rows


def _nested(value: Value, what: str, names: Sequence[Sequence[str]]) -> list[list[float]]:
    if isinstance(value, Pairs):
        named = {key.lower(): item for key, item in value.items}
        for keys in names:
            if all(key in named for key in keys):
                return [[_number(named[key], what) for key in keys]]
        raise ValueError(f"has a {what} without {', '.join(names[0])}")
    if isinstance(value, str):
        return [[_number(part, what) for part in re.findall(r"[^\s,;，、()\[\]]+", value)]]
    if isinstance(value, list) and any(isinstance(item, list | Pairs) for item in value):
        return [row for item in value for row in _nested(item, what, names)]
    if isinstance(value, list):
        return [[_number(item, what) for item in value]]
    raise ValueError(f"has a {what} that is no list of numbers")


def _number(value: Value, what: str) -> float:
    if isinstance(value, Cut):
        raise ValueError("is cut off")
    number = read_number(value) if isinstance(value, str) else value
    if not isinstance(number, float):
        raise ValueError(f"has a {what} with something that is no number")
    if not abs(number) <= MAX_COORDINATE:  # so written, NaN is refused too
        raise ValueError(f"has a {what} with a coordinate that is no usable number")
    return number
