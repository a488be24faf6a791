"""What servers send in an answer besides what the API says: ends, characters, junk."""

import asyncio
import json
import random
from typing import Any

import pytest

from segzero.errors import ServerError
from segzero.reasoning.chat_client import ChatClient
from tests.segzero.byte_server import (
    ANSWER,
    DONE,
    MANY,
    QUICK,
    WHOLE,
    Reply,
    Request,
    event,
    models,
    sends,
    serving,
    text,
    write,
)

pytestmark = pytest.mark.usefixtures("no_pauses")

# how an answer ends

ENDS = ["stop", "", "eos_token", "stop_sequence", "end_turn", "eos", "stop_str", "COMPLETE", True]


@pytest.mark.parametrize("done", [b"", DONE], ids=["no [DONE]", "[DONE]"])
@pytest.mark.parametrize("reason", [*ENDS, {"type": "stop", "matched": "</answer>"}], ids=repr)
def test_a_reason_to_finish_is_the_end_of_an_answer(reason: Any, done: bytes) -> None:
    assert write(sends(text(ANSWER), text("", finish_reason=reason), done)).text == WHOLE


@pytest.mark.parametrize(
    "reason",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "model_length",
        "model_context_window_exceeded",
        "incomplete",
        "kv_cache_full",
        {"type": "length", "length": 256},
    ],
    ids=str,
)
def test_an_answer_that_was_too_long_keeps_its_open_end(reason: Any) -> None:
    assert write(sends(text(ANSWER), text("", finish_reason=reason), DONE)).text == ANSWER


@pytest.mark.parametrize(
    "reason",
    [
        "abort",
        "error",
        "content_filter",
        "tool_calls",
        "cancelled",
        "timeout",
        "SAFETY",
        "interrupted",
        "insufficient_system_resource",
        "engine_overloaded",
        "PROHIBITED_CONTENT",
        "sensitive",
        "server_shutdown",
    ],
)
def test_a_reason_that_is_a_failure_is_told(reason: str) -> None:
    with pytest.raises(ServerError, match=rf"ended the answer early \({reason}\)"):
        write(sends(text(ANSWER), text("", finish_reason=reason), DONE))


@pytest.mark.parametrize("missing", [None, False, "null", "None", 0, [], {}, {"type": None}])
def test_a_stream_that_closes_without_a_reason_broke_off(missing: Any) -> None:
    with pytest.raises(ServerError, match=f"broke off after {len(ANSWER)} characters"):
        write(sends(text(ANSWER, finish_reason=missing)))


def test_an_empty_reason_with_each_chunk_does_not_hide_that_the_stream_broke_off() -> None:
    with pytest.raises(ServerError, match="broke off after 7 characters"):
        write(sends(text("<think>", finish_reason=""), b"data: {", breaks=True))


@pytest.mark.parametrize(
    "more",
    [{"error": None}, {"error": ""}, {"error": {}}, {"usage": None}, {"choices": None}],
    ids=str,
)
def test_a_field_that_is_empty_says_nothing(more: dict[str, Any]) -> None:
    first = event({"choices": [{"delta": {"content": "<think>", "reasoning": None}}], **more})
    first = text("<think>") if "choices" in more else first
    ends = text("", finish_reason="stop")
    completion = write(sends(event({"choices": [], **more}), first, ends, DONE))
    assert completion.text == "<think>"


def test_null_in_place_of_content_and_delta_is_no_text() -> None:
    nothing = [event({"choices": [{"delta": delta}]}) for delta in (None, {}, {"content": None})]
    assert write(sends(*nothing, text(ANSWER, finish_reason="stop"))).text == WHOLE


ERRORS: list[dict[str, Any]] = [
    {"error": {"message": "out of memory"}},
    {"error": "out of memory"},
    {"error": {"detail": "out of memory"}},
    {"object": "error", "message": "out of memory", "code": 400},
    {"status": 500, "msg": "out of memory"},
    {"detail": "out of memory"},
    {"choices": [{"delta": {}, "error": {"message": "out of memory"}, "finish_reason": "stop"}]},
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_in_the_stream_is_told(error: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match=r"gave up: .*out of memory"):
        write(sends(text(ANSWER), event(error), text("", finish_reason="stop")))


def test_an_event_of_the_kind_error_is_one() -> None:
    with pytest.raises(ServerError, match=r"gave up: .*out of memory"):
        write(sends(text(ANSWER), b'event: error\ndata: {"code": "out of memory"}\n\n', DONE))


# where the text stands

PLACES: dict[str, list[dict[str, Any]]] = {
    "parts": [{"delta": {"content": [{"type": "text", "text": ANSWER}]}}],
    "a message": [{"message": {"content": ANSWER}}],
    "the older API": [{"text": ANSWER}],
    "another answer beside it": [
        {"index": 1, "delta": {"content": "no"}},
        {"index": 0, "delta": {"content": ANSWER}},
    ],
    "an empty thought": [{"delta": {"content": ANSWER, "reasoning_content": "", "tool_calls": []}}],
    "the whole again at the end": [{"delta": {}, "message": {"content": ANSWER}}],
}


@pytest.mark.parametrize("place", PLACES)
def test_the_text_is_found_where_servers_put_it(place: str) -> None:
    first = text(ANSWER) if place.startswith("the whole") else b""
    sent = [first, event({"choices": PLACES[place]}), text("", finish_reason="stop"), DONE]
    assert write(sends(*sent)).text == WHOLE


def test_another_answer_is_not_mixed_in() -> None:
    other = [text("no", index=1), text("", index=1, finish_reason="stop")]
    completion = write(sends(text("<think>"), *other, text("red", finish_reason="length"), DONE))
    assert completion.text == "<think>red"


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "red"},
        {"reasoning": "red"},
        {"reasoning_details": [{"text": "red"}]},
        {"thinking": "red"},
        {"content": [{"type": "thinking", "thinking": "red"}]},
    ],
    ids=str,
)
def test_a_server_that_takes_the_thinking_out_is_told_how_to_start(delta: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="without a reasoning parser"):
        write(sends(event({"choices": [{"delta": delta}]}), text(ANSWER, finish_reason="stop")))


@pytest.mark.parametrize(
    ("delta", "said"),
    [
        ({"refusal": "I can't\nhelp"}, "I can't help"),
        ({"tool_calls": [{"function": {"name": "find"}}]}, "a call of a tool"),
        ({"function_call": {"name": "find"}}, "a call of a tool"),
    ],
    ids=str,
)
def test_an_answer_that_is_no_text_is_told(delta: dict[str, Any], said: str) -> None:
    with pytest.raises(ServerError, match=f"something else than text: {said}"):
        write(sends(event({"choices": [{"delta": delta}]}), text("", finish_reason="stop")))


# the form of the stream

FORMS: dict[str, list[bytes]] = {
    "a mark of the byte order": [b"\xef\xbb\xbf", text(ANSWER), DONE],
    "no blank": [text(ANSWER).replace(b"data: ", b"data:"), DONE.replace(b" ", b"")],
    "CRLF": [text(ANSWER).replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
    "comments": [b": ping\n\n:\n\n", text(ANSWER), b": ping\n\n", DONE],
    "empty events": [b"data:\n\n", text(ANSWER), b"data:  \n\n", DONE],
    "other fields": [b"id: 1\nretry: 9\nevent: message\n", text(ANSWER), DONE],
    "a ping": [b'event: ping\ndata: {"type": "ping"}\n\n', text(ANSWER), DONE],
    "two lines": [text(ANSWER).replace(b'"choices": ', b'"choices":\ndata: '), DONE],
    "another DONE": [text(ANSWER), b"data:  [done] \n\n"],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_read_in_each_form_that_servers_send(form: str) -> None:
    assert write(sends(*FORMS[form])).text == ANSWER


# characters

HALVES = {
    "high": ("\ud83d", "\ufffd"),
    "low": ("\ude00", "\ufffd"),
    "turned round": ("\ude00\ud83d", "\ufffd\ufffd"),
    "pair": ("\ud83d\ude00", "\U0001f600"),
}


@pytest.mark.parametrize("cut", [False, True], ids=["one chunk", "two chunks"])
@pytest.mark.parametrize("name", HALVES)
def test_half_a_character_is_replaced(name: str, cut: bool) -> None:
    sent, expected = HALVES[name]
    pieces: list[str] = []
    parts = [text(letter) for letter in sent] if cut else [text(sent)]
    completion = write(sends(text("a"), *parts, text("", finish_reason="length")), pieces=pieces)
    assert completion.text == "".join(pieces) == f"a{expected}"
    completion.text.encode()


@pytest.mark.parametrize("where", ["message", "reason", "model", "stream", "kind"])
@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "a\nb", "a\rb", "\x9b31m", "\x07", "\u2028", "\u202e", "\ud800", "\x00"]
)
def test_nothing_that_a_server_says_is_obeyed(where: str, evil: str) -> None:
    said = json.dumps({"error": {"message": f"so {evil} it is"}})
    error = {"error": {"message": f"so {evil} it is"}}
    header = evil.encode("latin-1", "ignore").decode("latin-1").replace("\n", "").replace("\r", "")
    behave = {
        "message": sends(said.encode(), status="500 Internal Server Error"),
        "reason": sends(text("a", finish_reason=f"abort {evil}")),
        "model": models(json.dumps({"data": [{"id": f"m {evil}"}]}).encode()),
        "stream": sends(event(error)),
        "kind": sends(b"", headers={"Content-Type": f"text/x{header}"}),
    }[where]
    with pytest.raises(ServerError) as got:
        write(behave)
    assert str(got.value).isprintable()


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b31m", "\x07", "\x00", "\x7f"])
def test_no_terminal_obeys_what_a_server_writes(evil: str) -> None:
    pieces: list[str] = []
    completion = write(sends(text(f"a\n{evil}b", finish_reason="length")), pieces=pieces)
    assert completion.text == "".join(pieces) == f"a\n\ufffd{evil[1:]}b"


@pytest.mark.parametrize("charset", ["utf-16", "hex", "rot13", "latin-1", "nonsense"])
def test_a_stream_is_utf_8_whatever_its_header_says(charset: str) -> None:
    chunk = json.dumps(
        {"choices": [{"delta": {"content": "球"}, "finish_reason": "length"}]}, ensure_ascii=False
    )
    headers = {"Content-Type": f"text/event-stream; charset={charset}"}
    assert write(sends(f"data: {chunk}\n\n".encode(), headers=headers)).text == "球"


@pytest.mark.parametrize(
    "data",
    [
        "[" * 100_000,
        '{"choices": [' * 5000,
        '{"choices": [[]]}',
        '{"choices": {"a": 1}}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": "text"}]}',
        '{"usage": {"completion_tokens": Infinity}}',
        '{"usage": {"completion_tokens": NaN}}',
        '{"usage": {"prompt_tokens": ' + "9" * 5000 + "}}",
        '{"usage": 7}',
        "7",
        "",
    ],
    ids=lambda data: data[:40],
)
def test_what_is_no_chunk_is_named(data: str) -> None:
    with pytest.raises(ServerError, match=r"something else than a chat completion|broke off"):
        write(sends(text("a"), f"data: {data}\n\n".encode()))


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_are_an_answer_or_a_server_error(seed: int) -> None:
    """Streams of valid parts, cut and changed at random."""
    rng = random.Random(seed)
    parts = [
        text("<think>"),
        text(ANSWER),
        text("", finish_reason="stop"),
        DONE,
        b": ping\n\n",
        event({"choices": [], "usage": {"completion_tokens": 3, "prompt_tokens": 9}}),
        event({"error": {"message": "no"}}),
        b"data: [[[\n\n",
        b"event: x\r\n",
        b"\xff\xfe\x00",
    ]
    replies = []
    for _ in range(40):
        data = bytearray(b"".join(rng.choices(parts, k=rng.randrange(1, 8))))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        replies.append(bytes(data[: rng.randrange(1, len(data) + 1)]))

    async def run() -> int:
        told = 0
        sent = iter(replies)

        def behave(request: Request) -> Reply:
            return Reply([next(sent, b"")])

        async with serving(behave, []) as url:
            client = ChatClient(url, "m", None, QUICK)
            for _ in replies:
                try:
                    (await client.write([], MANY, lambda _: None)).text.encode()
                except ServerError as error:
                    assert str(error).isprintable()
                    told += 1
        return told

    assert 0 < asyncio.run(run()) < len(replies)
