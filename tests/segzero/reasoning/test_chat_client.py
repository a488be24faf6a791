"""What servers send besides what the API says, and what a hostile one could: bounds, clear words.

Each test has a server of its own on loopback, which sends exactly the bytes that the test names.
"""

import asyncio
import gzip
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segzero.errors import ServerError
from segzero.reasoning.chat_client import KEY_VARIABLE, ChatClient, Timeouts
from tests.segzero.byte_server import (
    ANSWER,
    MANY,
    QUICK,
    WHOLE,
    Behaviour,
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


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 529])
def test_a_server_that_is_busy_or_begins_is_asked_again(status: int) -> None:
    seen: list[Request] = []

    def behave(_: Request) -> Reply:
        if len(seen) < 3:
            return Reply([b"<html>nginx</html>"], f"{status} Later")
        return Reply([text(ANSWER, finish_reason="stop")])

    assert write(behave, seen=seen).text == WHOLE


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
