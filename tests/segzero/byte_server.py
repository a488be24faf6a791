"""A server of exactly the bytes that a test names, on loopback, and a client that asks it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from segzero.reasoning.chat_client import ChatClient, Timeouts
from segzero.reasoning.completion_stream import ServedCompletion

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


def models(*pieces: bytes) -> Behaviour:
    def behave(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply(pieces)
        return Reply([b'{"error": "not found"}'], "404 Not Found")

    return behave
