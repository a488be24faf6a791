"""One request to a server that speaks the OpenAI chat API, with its answer as a stream of text.

Why not the `openai` package (3.57 was tried): nothing that a server sends may cost more than a
known amount of time and memory. That package reads a stream for as long as one comes: 600,000
characters at `max_tokens=256`. It reads the body of an error whole: 300 MiB took 1.1 GB of memory.
It brings 50 MB of packages and takes a second to import, `httpx2` alone 0.2 s. Cancelling is as
fast in both: the server sees it within a token.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from segzero.errors import ServerError
from segzero.reasoning.completion_stream import (
    BadChunk,
    Chunk,
    CompletionStream,
    ServedCompletion,
    parse_chunk,
)
from segzero.reasoning.completion_text import ANSWER_END
from segzero.reasoning.reasoner import Sampling
from segzero.reasoning.server_text import MESSAGE_KEYS, error_message, printable
from segzero.reasoning.server_url import is_loopback, split_credentials

KEY_VARIABLE = "SEGZERO_API_KEY"
"""The environment variable that holds the server's key, if it needs one."""
_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further attempt."""
_BUSY = (408, 429, 502, 503, 504, 529)
"""What a server answers, or what stands before it, while it can't answer yet."""
_CHARACTERS_PER_TOKEN = 32
"""More than any text has on average; a token of JSON or prose has three to five."""
_MAX_ERROR_BYTES = 2**16
_MAX_MODEL_LIST_BYTES = 2**22
_MAX_NAMES = 20
"""Models of a server that an error message names."""
_LONGER_CONTEXT = (
    "start the server with a longer context (vLLM --max-model-len, SGLang --context-length, "
    "llama.cpp --ctx-size)"
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for the server, in seconds.

    Attributes:
        connect: For the connection.
        first_token: From there to the first text; the server's queue and the reading of image and
            prompt are part of it.
        next_token: Between two pieces of text.
    """

    connect: float = 3.0
    first_token: float = 60.0
    next_token: float = 20.0


class ChatClient:
    """A model behind an address such as `http://localhost:8000/v1`.

    Nothing is asked of the server before the first `write`.

    Args:
        url: The address; user and password in it are used and never shown.
        model: The server's own name for the model.
        key: Sent as bearer token.
        timeouts: How long to wait.
    """

    def __init__(self, url: str, model: str, key: str | None, timeouts: Timeouts) -> None:
        self._url, self._auth = split_credentials(url.rstrip("/"))
        self._model = model
        self._key = key
        self._timeouts = timeouts
        self._tls = ssl.create_default_context()  # takes longer than a request: made once
        self._sends_stream_options = True

    async def write(
        self,
        messages: list[dict[str, Any]],
        max_new_tokens: int,
        on_text: Callable[[str], None],
        sampling: Sampling | None = None,
    ) -> ServedCompletion:
        """Let the model generate up to the answer's closing tag.

        As long as there is no text, a server that is away or busy is asked again. Cancelling closes
        the connection, which ends the generation.

        Args:
            messages: Of the chat API.
            max_new_tokens: The longest completion.
            on_text: Called with each piece of the text.
            sampling: How it is drawn; None decodes greedily.

        Returns:
            The whole completion.

        Raises:
            ServerError: The server is away, refused, broke off or sent something else.
        """
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": max_new_tokens,
            **_drawn(sampling),
            "stop": [ANSWER_END],
            "stream": True,
        }
        if not self._sends_stream_options:
            return await self._request(body, on_text)
        try:
            usage = {"stream_options": {"include_usage": True}}
            return await self._request(body | usage, on_text)
        except _BadRequest:  # some servers don't know that option
            completion = await self._request(body, on_text)
            self._sends_stream_options = False
            return completion

    async def _request(
        self, body: dict[str, Any], on_text: Callable[[str], None]
    ) -> ServedCompletion:
        for pause in _PAUSES:
            try:
                return await self._attempt(body, on_text)
            except _Unavailable:
                await asyncio.sleep(pause)
        return await self._attempt(body, on_text)

    async def _attempt(
        self, body: dict[str, Any], on_text: Callable[[str], None]
    ) -> ServedCompletion:
        stream = CompletionStream(on_text, _CHARACTERS_PER_TOKEN * body["max_tokens"])
        now = asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(self._timeouts.first_token) as deadline,
                self._client() as client,
                client.stream("POST", f"{self._url}/chat/completions", json=body) as response,
            ):
                await self._check(client, response)
                # As event streams always are, whatever it says; a mark at the start is skipped.
                response.encoding = "utf-8-sig"
                async with aclosing(aiter(httpx2.EventSource(response))) as events:  # type: ignore
                    async for event in events:
                        data = event.data.strip()
                        if data.upper() == "[DONE]":
                            stream.has_ended = True
                            break
                        if data and stream.push(self._parse(data, event.event)):
                            deadline.reschedule(now() + self._timeouts.next_token)
                        if stream.is_complete:
                            break
                stream.close()
        except TimeoutError as error:
            if not stream.has_ended:
                raise self._silent(stream.text) from error
        except (httpx2.SSEError, httpx2.DecodingError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"the server at {self._url} can't be used: {printable(str(error))}"
            ) from error
        except httpx2.RequestError as error:
            if not stream.text:
                raise self._away(error) from error
        except BadChunk as error:
            raise ServerError(f"the server at {self._url} {error}") from error
        if not stream.has_ended:
            raise ServerError(
                f"the server at {self._url} broke off after {len(stream.text)} characters: "
                f"look into its log, then ask again"
            )
        return stream.finish()

    def _client(self) -> httpx2.AsyncClient:
        headers = {"Accept-Encoding": "identity"}
        if self._key:
            if not (self._key.isascii() and self._key.isprintable()):
                raise ServerError(
                    f"{KEY_VARIABLE} holds a line break or another character that no key has: set "
                    f"it to the key alone"
                )
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            return httpx2.AsyncClient(
                headers=headers,
                auth=self._auth,
                timeout=httpx2.Timeout(None, connect=self._timeouts.connect),
                verify=self._tls,
                trust_env=not is_loopback(self._url),  # HTTP_PROXY is for other machines
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ServerError(
                "the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names can't be used: name an "
                "http:// address, or add the server to NO_PROXY"
            ) from error

    async def _check(self, client: httpx2.AsyncClient, response: httpx2.Response) -> None:
        """Raise unless the response is an event stream."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == 200 and kind != "text/event-stream":
            raise ServerError(
                f"{self._url} answered with {printable(kind) or 'no content type'}, not with an "
                f"event stream: does `server` in the profile name an OpenAI chat API?"
            )
        if response.status_code != 200:
            raise await self._refusal(client, response)

    async def _refusal(
        self, client: httpx2.AsyncClient, response: httpx2.Response
    ) -> "ServerError | _Unavailable":
        status = response.status_code
        text = (await _read(response, _MAX_ERROR_BYTES)).decode(errors="replace")
        message = error_message(text)
        said = f"the server at {self._url} answered {status} ({message})"
        if status in _BUSY:
            return _Unavailable(f"{said}: it is busy or still loading, ask again later")
        if status in (401, 403):
            return ServerError(f"{said}: set {KEY_VARIABLE} to the key that it was started with")
        if status in (400, 404):
            names = await self._model_names(client)
            if names and self._model not in names:
                more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
                shown = ", ".join(printable(name, 100) for name in names[:_MAX_NAMES])
                return ServerError(
                    f"the server at {self._url} has no model {self._model!r}: write one of its "
                    f"own as `reasoner` in the profile: {shown}{more}"
                )
            if status == 404 and not names:
                return ServerError(f"{said}: `server` in the profile usually ends in /v1")
        kind = _BadRequest if status in (400, 422) else ServerError
        if "context" in message.lower() and ("length" in message or "size" in message):
            return kind(f"{said}: {_LONGER_CONTEXT}")
        return kind(f"{said}: look into its log")

    async def _model_names(self, client: httpx2.AsyncClient) -> list[str]:
        """The models that the server offers; none if it doesn't say, or far too much."""
        try:
            async with client.stream("GET", f"{self._url}/models") as response:
                content = await _read(response, _MAX_MODEL_LIST_BYTES)
            return [str(model["id"]) for model in json.loads(content)["data"]]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def _parse(self, data: str, kind: str) -> Chunk:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            if content.get("error") or kind == "error" or _says_only_why(content):
                raise ServerError(f"the server at {self._url} gave up: {error_message(data)}")
            try:
                return parse_chunk(content)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                pass
        raise ServerError(
            f"the server at {self._url} sent something else than a chat completion: "
            f"{printable(data)}"
        )

    def _silent(self, text: str) -> ServerError:
        limits = self._timeouts
        waited = f"{limits.next_token:g} s for more" if text else f"{limits.first_token:g} s"
        return ServerError(
            f"the server at {self._url} wrote nothing within {waited}: it hangs or has too much "
            f"to do; look into its log"
        )

    def _away(self, error: Exception) -> "_Unavailable":
        port = httpx2.URL(self._url).port or 80
        reason = printable(str(error)) or type(error).__name__
        return _Unavailable(
            f"the server at {self._url} is away ({reason}): start it, such as with "
            f"`vllm serve {self._model} --port {port}`, or correct `server` in the profile"
        )


class _Unavailable(ServerError):
    """Away or busy before it wrote anything: worth another attempt."""


class _BadRequest(ServerError):
    """Refused the request as it is: worth another attempt without what is optional."""


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """The body, or its first bytes if it is longer than `limit`."""
    content = b""
    async for part in response.aiter_bytes():
        content += part
        if len(content) > limit:
            break
    return content[:limit]


def _says_only_why(content: dict[str, Any]) -> bool:
    """Whether an event is an error that isn't under the key `error`."""
    said = any(isinstance(content.get(key), str) for key in MESSAGE_KEYS)
    return said and not content.keys() & {"choices", "usage"}


def _drawn(sampling: Sampling | None) -> dict[str, Any]:
    if sampling is None:
        return {"temperature": 0}
    return {"temperature": sampling.temperature, "top_p": 1, "seed": sampling.seed}
