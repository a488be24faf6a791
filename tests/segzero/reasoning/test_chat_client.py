"""What servers send besides what the API says, and what a hostile one could: bounds, clear words.

Each test has a server of its own on loopback, which sends exactly the bytes that the test names.
"""

import asyncio
import gzip
import itertools
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from segzero.errors import ServerError
from segzero.reasoning import chat_client
from segzero.reasoning.chat_client import KEY_VARIABLE, ChatClient, ServedCompletion, Timeouts

ANSWER = "<think>red</think><answer>[]"
WHOLE = f"{ANSWER}</answer>"
QUICK = Timeouts(connect=60.0, first_token=60.0, next_token=60.0)
MANY = 256
"""Tokens that a test may ask for."""


@dataclass
class Request:
    """What a server was sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What a server sends: a status, headers, and pieces of the body until the connection closes.

    The length is not told, so that closing ends the body; `breaks` ends it in the middle of a
    chunk, which is no proper end.
    """

    pieces: Iterable[bytes]
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    breaks: bool = False


Behaviour = Callable[[Request], Reply]


@asynccontextmanager
async def serving(behave: Behaviour, seen: list[Request]) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
            content = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(first.split()[1], headers, json.loads(content or b"{}"))
            seen.append(request)
            reply = behave(request)
            fields = {**reply.headers, "Connection": "close"}
            if reply.breaks:
                fields["Transfer-Encoding"] = "chunked"
            told = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            writer.write(f"HTTP/1.1 {reply.status}\r\n{told}\r\n".encode("latin-1"))
            for piece in reply.pieces:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.breaks else piece)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


def write(
    behave: Behaviour,
    *,
    seen: list[Request] | None = None,
    pieces: list[str] | None = None,
    address: Callable[[str], str] = lambda url: url,
    key: str | None = None,
    times: int = 1,
    timeouts: Timeouts = QUICK,
) -> ServedCompletion:
    """The last of `times` completions by a server that behaves so."""

    async def run() -> ServedCompletion:
        async with serving(behave, seen if seen is not None else []) as url:
            client = ChatClient(address(url), "red/model", key, timeouts)
            on_text = (pieces if pieces is not None else []).append
            for _ in range(times):
                completion = await client.write([], MANY, on_text)
            return completion

    return asyncio.run(run())


def event(content: Any) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def text(piece: str, **choice: Any) -> bytes:
    return event({"choices": [{"delta": {"content": piece}, **choice}]})


def sends(*pieces: bytes, **reply: Any) -> Behaviour:
    return lambda _: Reply(pieces, **reply)


DONE = b"data: [DONE]\n\n"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "_PAUSES", (0.0, 0.0, 0.0))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


# how an answer ends

ENDS = ["stop", "", "eos_token", "stop_sequence", "end_turn", "eos", "stop_str", "COMPLETE", True]


@pytest.mark.parametrize("done", [b"", DONE], ids=["no [DONE]", "[DONE]"])
@pytest.mark.parametrize("reason", [*ENDS, {"type": "stop", "matched": "</answer>"}], ids=repr)
def test_a_reason_to_finish_is_the_end_of_an_answer(reason: Any, done: bytes) -> None:
    assert write(sends(text(ANSWER), text("", finish_reason=reason), done)).text == WHOLE


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_an_answer_that_was_too_long_keeps_its_open_end(reason: str) -> None:
    assert write(sends(text(ANSWER), text("", finish_reason=reason), DONE)).text == ANSWER


@pytest.mark.parametrize(
    "reason", ["abort", "error", "content_filter", "tool_calls", "cancelled", "timeout", "SAFETY"]
)
def test_a_reason_that_is_a_failure_is_told(reason: str) -> None:
    with pytest.raises(ServerError, match=rf"ended the answer early \({reason}\)"):
        write(sends(text(ANSWER), text("", finish_reason=reason), DONE))


@pytest.mark.parametrize("missing", [None, False])
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


@pytest.mark.parametrize(
    "error", [{"message": "out of memory"}, "out of memory", {"detail": "out of memory"}], ids=str
)
def test_an_error_in_the_stream_is_told(error: Any) -> None:
    with pytest.raises(ServerError, match=r"gave up: .*out of memory"):
        write(sends(text("<think>"), event({"error": error})))


# what a server doesn't know


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
@pytest.mark.parametrize(
    "message",
    [
        {"error": {"message": "Unrecognized request argument supplied: stream_options"}},
        {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
        {"message": "unknown field"},
    ],
    ids=str,
)
def test_a_server_that_refuses_stream_options_is_asked_without(status: str, message: Any) -> None:
    def behave(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply([b'{"data": [{"id": "red/model"}]}'])
        if "stream_options" in request.body:
            return Reply([json.dumps(message).encode()], status)
        return Reply([text(ANSWER, finish_reason="stop")])

    seen: list[Request] = []
    assert write(behave, seen=seen, times=3).text == WHOLE
    asked = ["stream_options" in item.body for item in seen if item.path != "/v1/models"]
    assert asked == [True, False, False, False]


def test_what_is_refused_with_and_without_stream_options_is_told() -> None:
    behave = sends(b'{"error": {"message": "no pictures"}}', status="400 Bad Request")
    with pytest.raises(ServerError, match=r"400 \(no pictures\)"):
        write(behave)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None}, {"prompt_tokens": -3}, {"a": 1}])
def test_counts_that_are_missing_or_negative_are_none(usage: dict[str, Any]) -> None:
    completion = write(sends(text("a"), text("b", finish_reason="length"), event({"usage": usage})))
    assert (completion.new_tokens, completion.prompt_tokens) == (2, 0)


# bounds


def endless(piece: bytes) -> Behaviour:
    return lambda _: Reply(itertools.repeat(piece))


@pytest.mark.parametrize("length", [1, 7, 5000, 500_000])
def test_a_stream_without_end_is_left(length: int) -> None:
    pieces: list[str] = []
    with pytest.raises(ServerError, match="doesn't keep to max_tokens"):
        write(endless(text("x" * length)), pieces=pieces)
    assert sum(map(len, pieces)) <= 32 * MANY


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", [event({"choices": []}), b": ping\n\n", text(""), b"event: x\n\n", b"\n"], ids=repr
)
def test_a_stream_without_text_ends_with_the_patience(piece: bytes) -> None:
    with pytest.raises(ServerError, match=r"wrote nothing within 0\.3 s"):
        write(endless(piece), timeouts=Timeouts(first_token=0.3))


def compressed(count: int) -> Iterator[bytes]:
    yield gzip.compress(b"data: " + b"x" * count)


@pytest.mark.parametrize(
    "reply",
    [
        lambda: Reply(itertools.repeat(b"x" * 2**20, 100)),
        lambda: Reply(itertools.chain([b"data: "], itertools.repeat(b"x" * 2**20, 100))),
        lambda: Reply(itertools.repeat(b"data: " + b"x" * 2**15 + b"\n", 3000)),
        lambda: Reply(itertools.repeat(b"x" * 2**20, 100), "500 Internal Server Error"),
        lambda: Reply(itertools.repeat(b"x" * 2**20, 100), "429 Too Many Requests"),
        lambda: Reply(itertools.repeat(b"x" * 2**20, 100), headers={"Content-Type": "text/html"}),
    ],
    ids=["one line", "one event", "one event of many lines", "error", "busy", "page"],
)
def test_a_body_of_a_hundred_mebibytes_takes_little_memory(reply: Callable[[], Reply]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ServerError) as error:
            write(lambda _: reply())
        assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
    finally:
        tracemalloc.stop()
    assert len(str(error.value)) < 1000


def models(*pieces: bytes) -> Behaviour:
    def behave(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply(pieces)
        return Reply([b'{"error": "not found"}'], "404 Not Found")

    return behave


def test_of_many_models_the_first_are_named() -> None:
    data = json.dumps({"data": [{"id": f"model {number} " + "x" * 300} for number in range(5000)]})
    with pytest.raises(ServerError, match=r"no model 'red/model'.*model 0 .*and 4980 more$") as got:
        write(models(data.encode()))
    assert len(str(got.value)) < 3000


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"data": [{"id": "', b"x" * 2**24, b'"}]}'],
        [b"[" * 100_000],
        [b'{"data": 7}'],
        [b'{"data": [7]}'],
        [b'{"data": null}'],
        [b"\xff\xfe"],
        [],
    ],
    ids=["20 MB", "nested", "a number", "numbers", "null", "not UTF-8", "nothing"],
)
def test_a_list_of_models_that_is_none_is_ignored(pieces: list[bytes]) -> None:
    with pytest.raises(ServerError, match=r"404 \(not found\): `server` in the profile"):
        write(models(*pieces))


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


# secrets

SECRET = "pa55word"


def with_password(url: str) -> str:
    return url.replace("//", f"//robot:{SECRET}@")


FAILURES: dict[str, Behaviour] = {
    "refused": sends(b'{"error": "no"}', status="500 Internal Server Error"),
    "unauthorized": sends(b'{"error": "no"}', status="401 Unauthorized"),
    "broke off": sends(text("a")),
    "no stream": sends(b"", headers={}),
    "no JSON": sends(b"data: x\n\n"),
    "unknown model": models(b'{"data": [{"id": "m"}]}'),
    "silent": sends(),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_password_of_an_address_is_used_and_never_shown(
    failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen: list[Request] = []
    with pytest.raises(ServerError) as error:
        write(FAILURES[failure], address=with_password, seen=seen)
    assert seen[0].headers["authorization"].startswith("Basic ")
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("password", ["a/b", "a@b", "a%40b", "a:b"])
def test_a_password_with_signs_of_an_address_is_not_shown(password: str) -> None:
    with pytest.raises(ServerError) as error:
        write(
            FAILURES["refused"], address=lambda url: url.replace("//", f"//u:{SECRET}{password}@")
        )
    assert SECRET not in str(error.value)
    assert password not in str(error.value)


def test_the_password_is_not_shown_where_nobody_answers() -> None:
    client = ChatClient(f"http://robot:{SECRET}@127.0.0.1:1/v1", "m", None, QUICK)
    with pytest.raises(ServerError, match="is away") as error:
        asyncio.run(client.write([], MANY, lambda _: None))
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("key", [f"{SECRET}\nsecond line", f"{SECRET}\r\n\r\nGET /", f"{SECRET}é"])
def test_a_key_that_no_header_can_carry_is_told_and_not_shown(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(ServerError, match=KEY_VARIABLE) as error:
        write(sends(text(ANSWER, finish_reason="stop")), key=key)
    assert SECRET not in str(error.value) + caplog.text


# proxies


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_this_machine(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    behave = sends(text(ANSWER, finish_reason="stop"))
    assert write(behave, address=lambda url: url.replace("127.0.0.1", host)).text == WHOLE


def test_a_proxy_is_asked_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> str:
        async with serving(sends(text(ANSWER, finish_reason="stop")), []) as url:
            monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
            client = ChatClient("http://robot.invalid/v1", "m", None, QUICK)
            return (await client.write([], MANY, lambda _: None)).text

    assert asyncio.run(run()) == WHOLE


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "gopher://u:pa55word@x", "http://[::1"])
def test_a_proxy_that_can_not_be_used_is_told(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    client = ChatClient("http://robot.invalid/v1", "m", None, QUICK)
    with pytest.raises(ServerError, match="proxy") as error:
        asyncio.run(client.write([], MANY, lambda _: None))
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://[::1/v1", "http://a b/v1", "http://x:99999/v1", "http:///"]
)
def test_an_address_that_is_none_is_a_server_error(url: str) -> None:
    with pytest.raises(ServerError):
        asyncio.run(ChatClient(url, "m", None, QUICK).write([], MANY, lambda _: None))
