"""What a page may send: each message is read whole, or refused with the reason."""

import json
import struct
from typing import Any

import pytest

from segzero.types import Box, ObjectPrompt, Point
from segzero_console import requests
from segzero_console.reading import MAX_JSON, read_binary, read_text
from segzero_console.requests import BadRequest, PromptedObject

SAVE = {"type": "save", "request": "s", "stamp": "5", "question": "cups", "objects": []}


def read(**fields: Any) -> requests.Request:
    return read_text(json.dumps({"request": "r", **fields}))


def binary(header: dict[str, Any], content: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + content


def test_a_question_has_the_newest_frame_unless_it_names_one() -> None:
    assert read(type="ask", text="the cup") == requests.Ask("r", "the cup", "", True, None)
    assert read(type="ask", text="the cup", goal="g", follow=False, stamp="12") == requests.Ask(
        "r", "the cup", "g", False, 12
    )


def test_a_correction_has_a_box_and_points_of_both_kinds() -> None:
    shown = {"box": [1, 2, 30, 40], "points": [[5, 6, 1], [7, 8, 0]], "label": "cup"}
    request = read(type="refine", stamp="5", objects=[shown])
    prompt = ObjectPrompt(Box(1, 2, 30, 40), (Point(5, 6),), (Point(7, 8),), "cup")
    assert request == requests.Refine("r", 5, (PromptedObject(prompt),))


def test_a_row_may_say_that_nothing_is_there_or_keep_what_was_found() -> None:
    assert read_text(json.dumps(SAVE)) == requests.Save("s", 5, "cups", ())
    found = read_text(json.dumps({**SAVE, "objects": [{"id": 3}]}))
    assert found == requests.Save("s", 5, "cups", (PromptedObject(None, 3),))


def test_a_picture_is_what_follows_its_header() -> None:
    header = {"type": "picture", "request": "p", "text": "cups", "parts": [3]}
    assert read_binary(binary(header, b"png")) == requests.AskPicture("p", "cups", b"png")


def test_control_characters_leave_names_and_texts() -> None:
    assert read(type="ask", text="a\x1b[2Jb\u202e", goal="g\n") == requests.Ask(
        "r", "ab", "g", True, None
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"type": NaN}',
        '{"type": "ask", "text": Infinity}',
        "{}",
        '{"type": "shell", "request": "r"}',
        '{"type": ["ask"]}',
        json.dumps({"type": "ask", "text": "a" * MAX_JSON}),
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_text(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "ask"},
        {"type": "ask", "text": 5},
        {"type": "ask", "text": "a", "follow": "yes"},
        {"type": "ask", "text": "a", "goal": ["g"]},
        {"type": "ask", "text": "a", "goal": "g" * 101},
        {"type": "ask", "text": "a", "stamp": 5},
        {"type": "ask", "text": "a", "stamp": "-5"},
        {"type": "ask", "text": "a", "stamp": "٣"},
        {"type": "ask", "text": "a", "stamp": "9" * 5000},
        {"type": "seek", "index": True},
        {"type": "seek", "index": 1.5},
        {"type": "seek", "index": -1},
        {"type": "seek", "index": 10**400},
        {"type": "remove", "ids": []},
        {"type": "remove", "ids": ["1"]},
        {"type": "remove", "ids": [1] * 121},
        {"type": "export", "what": "../../etc/passwd"},
        {"type": "export", "what": ["png"]},
        {"type": "save", "stamp": "5", "objects": []},
        {"type": "carry", "question": "cups", "every": -1},
    ],
)
def test_a_field_of_another_kind_is_refused_by_its_request(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    assert caught.value.request == "r"


@pytest.mark.parametrize(
    "shown",
    [
        None,
        {},
        {"points": []},
        {"points": [[1, 2, 0]]},
        {"points": [[1, 2]]},
        {"points": [["1", 2, 1]]},
        {"points": [[True, 2, 1]]},
        {"points": [[1e300, 2, 1]]},
        {"points": [[10**400, 2, 1]]},
        {"points": [[1, 2, 1]] * 65},
        {"box": [1, 2, 3]},
        {"box": "1234"},
        {"box": [1, 2, 3, None]},
        {"box": [1, 2, 3, 4], "label": 5},
        {"id": "1"},
        {"id": -1},
    ],
)
def test_an_object_that_shows_nothing_is_refused(shown: Any) -> None:
    with pytest.raises(BadRequest):
        read(type="refine", stamp="5", objects=[shown])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00",
        struct.pack("<I", 0),
        struct.pack("<I", 2**32 - 1) + b"{}",
        struct.pack("<I", 2) + b"\xff\xfe",
        binary({"type": "ask", "request": "r", "text": "a", "parts": [0]}, b""),
        binary({"type": "picture", "request": "r", "text": "a", "parts": [0]}, b""),
        binary({"type": "picture", "request": "r", "text": "a", "parts": [9]}, b"png"),
        binary({"type": "picture", "request": "r", "text": "a"}, b"png"),
        binary({"type": "picture", "request": "r", "text": 1, "parts": [3]}, b"png"),
    ],
)
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read_binary(data)
