"""What a page asks for: messages of the browser as frozen dataclasses, each checked."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from segzero.errors import SegZeroError
from segzero.types import Box, ObjectPrompt, Point
from segzero_console.text import one_line

MAX_MESSAGE = 16 * 2**20
"""Bytes of one message, pictures included."""
MAX_JSON = 2**18
"""Bytes of a message's text."""
MAX_OBJECTS = 120
MAX_POINTS = 64
MAX_NAME = 100
"""Characters of a goal's name, a label or a request's id."""
MAX_STAMP = 2**63 - 1

ExportFormat = Literal["png", "coco", "mp4"]


class BadRequest(SegZeroError):
    """A message of the page can't be used.

    Attributes:
        request: The id that the page gave it; empty if that can't be read.
    """

    def __init__(self, text: str, request: str = "") -> None:
        super().__init__(text)
        self.request = request


@dataclass(frozen=True, slots=True)
class PromptedObject:
    """An object of a correction.

    Attributes:
        prompt: What shows it; None if `id` names it.
        id: An object of the result at that stamp, as it is.
    """

    prompt: ObjectPrompt | None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a question about the newest frame, or about that of `stamp`."""

    request: str
    text: str
    goal: str
    follow: bool
    stamp: int | None


@dataclass(frozen=True, slots=True)
class AskPicture:
    """Ask about a picture file of the browser's."""

    request: str
    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the question of that request."""

    request: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Stop a goal's question and forget its objects; None for all goals."""

    request: str
    goal: str | None


@dataclass(frozen=True, slots=True)
class Refine:
    """Draw the masks of objects that are shown in a frame."""

    request: str
    stamp: int
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow objects that are shown in a frame."""

    request: str
    stamp: int
    goal: str
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Follow single objects no longer, by their track ids."""

    request: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Save:
    """Save a training row; without objects it says that nothing matches."""

    request: str
    stamp: int
    question: str
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Carry:
    """Save every n-th followed frame of a goal as a row; 0 ends it."""

    request: str
    goal: str
    question: str
    every: int


@dataclass(frozen=True, slots=True)
class Export:
    """Make a file for the browser to download."""

    request: str
    what: ExportFormat
    stamp: int | None


@dataclass(frozen=True, slots=True)
class Seek:
    """Show another frame of a video or folder."""

    request: str
    index: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Keep a frame for corrections; a video or folder stops there."""

    request: str
    stamp: int | None


@dataclass(frozen=True, slots=True)
class Play:
    """Let a video or folder go on."""

    request: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The browser has drawn a frame and can take another one."""

    request: str
    stamp: int


Request = (
    Ask
    | AskPicture
    | Cancel
    | Clear
    | Refine
    | Follow
    | Remove
    | Save
    | Carry
    | Export
    | Seek
    | Pause
    | Play
    | Seen
)


def read_text(text: str) -> Request:
    """Read a text message.

    Raises:
        BadRequest: It isn't one of the protocol's.
    """
    fields = _Fields(_json_object(text))
    kind = fields.name("type")
    reader = _READERS.get(kind)
    if reader is None:
        raise BadRequest(f"unknown type of message {kind!r}", fields.request)
    return reader(fields)


def read_binary(data: bytes) -> Request:
    """Read a binary message: a header and the file that somebody dropped.

    Raises:
        BadRequest: It isn't one of the protocol's.
    """
    if len(data) < 4:
        raise BadRequest("a binary message begins with the length of its header")
    (length,) = struct.unpack_from("<I", data)
    if not 0 < length <= min(MAX_JSON, len(data) - 4):
        raise BadRequest(f"a header of {length} bytes does not fit in {len(data)} bytes")
    try:
        text = data[4 : 4 + length].decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the header isn't UTF-8") from error
    fields = _Fields(_json_object(text))
    if fields.name("type") != "picture":
        raise BadRequest("only pictures come as binary messages", fields.request)
    content = data[4 + length :]
    if fields.values.get("parts") != [len(content)] or not content:
        raise BadRequest("the picture has another length than `parts` says", fields.request)
    return AskPicture(fields.request, fields.text("text"), content)


class _Fields:
    """The fields of a message, each read with its own check."""

    def __init__(self, values: Mapping[str, Any], request: str | None = None) -> None:
        self.values = values
        self.request = ""
        self.request = self.name("request", "") if request is None else request

    def fail(self, text: str) -> BadRequest:
        return BadRequest(text, self.request)

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.fail(f"{key} must be text")
        return one_line(value)

    def name(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise self.fail(f"{key} must be text of at most {MAX_NAME} characters")
        return one_line(value, MAX_NAME)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(f"{key} must be true or false")
        return value

    def whole(self, key: str, most: int) -> int:
        value = self.values.get(key)
        if type(value) is not int or not 0 <= value <= most:
            raise self.fail(f"{key} must be a whole number from 0 to {most}")
        return value

    def stamp(self, key: str = "stamp") -> int:
        value = self.values.get(key)
        if not isinstance(value, str) or not value.isascii() or not value.isdigit():
            raise self.fail(f"{key} must be nanoseconds, written in digits")
        if len(value) > 19 or int(value) > MAX_STAMP:
            raise self.fail(f"{key} is too large")
        return int(value)

    def optional_stamp(self) -> int | None:
        return None if self.values.get("stamp") is None else self.stamp()

    def optional_goal(self) -> str | None:
        return None if self.values.get("goal") is None else self.name("goal")

    def ids(self) -> tuple[int, ...]:
        value = self.values.get("ids")
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_OBJECTS:
            raise self.fail(f"ids must be a list of 1 to {MAX_OBJECTS} whole numbers")
        if any(type(item) is not int or not 0 <= item < 2**32 for item in value):
            raise self.fail("ids must be whole numbers")
        return tuple(value)

    def objects(self, fewest: int = 1) -> tuple[PromptedObject, ...]:
        value = self.values.get("objects")
        if not isinstance(value, list) or not fewest <= len(value) <= MAX_OBJECTS:
            raise self.fail(f"objects must be a list of {fewest} to {MAX_OBJECTS}")
        return tuple(self._object(place, item) for place, item in enumerate(value, start=1))

    def _object(self, place: int, value: Any) -> PromptedObject:
        if not isinstance(value, dict):
            raise self.fail(f"object {place} must be an object of JSON")
        inner = _Fields(value, self.request)
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


def _json_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_JSON:
        raise BadRequest(f"the message is longer than {MAX_JSON} characters")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the message isn't JSON") from error
    if not isinstance(value, dict):
        raise BadRequest("the message must be an object of JSON")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _ask(fields: _Fields) -> Ask:
    return Ask(
        fields.request,
        fields.text("text"),
        fields.name("goal", ""),
        fields.flag("follow", True),
        fields.optional_stamp(),
    )


def _export(fields: _Fields) -> Export:
    what: Any = fields.values.get("what")
    if what not in get_args(ExportFormat):
        raise fields.fail(f"what must be one of {', '.join(get_args(ExportFormat))}")
    return Export(fields.request, what, fields.optional_stamp())


_READERS: dict[str, Callable[[_Fields], Request]] = {
    "ask": _ask,
    "cancel": lambda f: Cancel(f.request),
    "clear": lambda f: Clear(f.request, f.optional_goal()),
    "stop": lambda f: Clear(f.request, f.name("goal")),
    "refine": lambda f: Refine(f.request, f.stamp(), f.objects()),
    "follow": lambda f: Follow(f.request, f.stamp(), f.name("goal", ""), f.objects()),
    "remove": lambda f: Remove(f.request, f.ids()),
    "save": lambda f: Save(f.request, f.stamp(), f.text("question"), f.objects(0)),
    "carry": lambda f: Carry(
        f.request, f.name("goal", ""), f.text("question"), f.whole("every", 10**6)
    ),
    "export": _export,
    "seek": lambda f: Seek(f.request, f.whole("index", 2**31)),
    "pause": lambda f: Pause(f.request, f.optional_stamp()),
    "play": lambda f: Play(f.request),
    "seen": lambda f: Seen(f.request, f.stamp()),
}
