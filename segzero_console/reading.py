"""From a browser's messages to requests."""

import json
import struct
from collections.abc import Callable
from typing import Any, get_args

from segzero_console.fields import Fields
from segzero_console.requests import (
    Ask,
    AskPicture,
    BadRequest,
    Cancel,
    Carry,
    Clear,
    Export,
    ExportFormat,
    Follow,
    Pause,
    Play,
    Refine,
    Remove,
    Request,
    Save,
    Seek,
    Seen,
)

MAX_MESSAGE = 16 * 2**20
"""Bytes of one message, pictures included."""
MAX_JSON = 2**18
"""Bytes of a message's text."""


def read_text(text: str) -> Request:
    """Read a text message.

    Raises:
        BadRequest: It isn't one of the protocol's.
    """
    fields = Fields(_json_object(text))
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
    fields = Fields(_json_object(text))
    if fields.name("type") != "picture":
        raise BadRequest("only pictures come as binary messages", fields.request)
    content = data[4 + length :]
    if fields.values.get("parts") != [len(content)] or not content:
        raise BadRequest("the picture has another length than `parts` says", fields.request)
    return AskPicture(fields.request, fields.text("text"), content)


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


def _ask(fields: Fields) -> Ask:
    return Ask(
        fields.request,
        fields.text("text"),
        fields.name("goal", ""),
        fields.flag("follow", True),
        fields.optional_stamp(),
    )


def _export(fields: Fields) -> Export:
    what: Any = fields.values.get("what")
    if what not in get_args(ExportFormat):
        raise fields.fail(f"what must be one of {', '.join(get_args(ExportFormat))}")
    return Export(fields.request, what, fields.optional_stamp())


_READERS: dict[str, Callable[[Fields], Request]] = {
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
