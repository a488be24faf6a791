"""One request to a server that speaks the OpenAI chat API, with its answer as a stream of text."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from segzero.errors import ServerError

KEY_VARIABLE = "SEGZERO_API_KEY"
"""The environment variable that holds the server's key, if it wants one."""
END = "</answer>"
_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further attempt."""
_LONGER_CONTEXT = (
    "start the server with a longer context (vLLM --max-model-len, SGLang --context-length, "
    "llama.cpp --ctx-size)"
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for the server, in seconds.

    connect: for the connection. first_token: from there to the first text; the server's queue and
    the reading of image and prompt are part of it. next_token: between two pieces of text.
    """

    connect: float = 3.0
    first_token: float = 60.0
    next_token: float = 20.0


class ChatClient:
    """A model behind an address such as `http://localhost:8000/v1`."""

    def __init__(self, url: str, model: str, key: str | None, timeouts: Timeouts) -> None:
        """Nothing is asked of the server before the first `write`.

        model: the server's own name for it. key: sent as bearer token.
        """
        self._url = url.rstrip("/")
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeouts = timeouts
        self._tls = ssl.create_default_context()  # takes longer than a request: made once

    async def write(
        self, messages: list[dict[str, Any]], max_new_tokens: int, on_text: Callable[[str], None]
    ) -> tuple[str, int]:
        """Let the model write, greedily, up to the answer's closing tag: its text, its tokens.

        on_text: called with each piece of the text. Cancelling closes the connection, which ends
        the generation. As long as there is no text, a server that is away or busy is asked again.
        Raises ServerError.
        """
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": max_new_tokens,
            "temperature": 0,
            "stop": [END],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for pause in _PAUSES:
            try:
                return await self._attempt(body, on_text)
            except _Unavailable:
                await asyncio.sleep(pause)
        return await self._attempt(body, on_text)

    async def _attempt(
        self, body: dict[str, Any], on_text: Callable[[str], None]
    ) -> tuple[str, int]:
        written = StreamedCompletion(on_text)
        now = asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(self._timeouts.first_token) as deadline,
                self._client() as client,
                client.stream("POST", f"{self._url}/chat/completions", json=body) as response,
            ):
                await self._check(client, response)
                async with aclosing(aiter(httpx2.EventSource(response))) as events:  # type: ignore
                    async for event in events:
                        if event.data == "[DONE]":
                            written.ended = True
                        elif written.push(self._chunk(event.data)):
                            deadline.reschedule(now() + self._timeouts.next_token)
                        if written.complete or event.data == "[DONE]":
                            break
        except TimeoutError as error:
            if not written.ended:
                raise self._silent(written.text) from error
        except httpx2.RequestError as error:
            if not written.text:
                raise self._away(error) from error
        if not written.ended:
            raise ServerError(
                f"the server at {self._url} broke off after {len(written.text)} characters: "
                f"look into its log, then ask again"
            )
        return written.finish(), written.new_tokens

    def _client(self) -> httpx2.AsyncClient:
        timeout = httpx2.Timeout(None, connect=self._timeouts.connect)
        return httpx2.AsyncClient(headers=self._headers, timeout=timeout, verify=self._tls)

    async def _check(self, client: httpx2.AsyncClient, response: httpx2.Response) -> None:
        """Raise unless the response is an event stream."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if response.status_code == 200 and kind != "text/event-stream":
            raise ServerError(
                f"{self._url} answered with {kind or 'no content type'}, not with an event "
                f"stream: does `server` in the profile name an OpenAI chat API?"
            )
        if response.status_code != 200:
            await response.aread()
            raise await self._refusal(client, response)

    async def _refusal(
        self, client: httpx2.AsyncClient, response: httpx2.Response
    ) -> "ServerError | _Unavailable":
        status, message = response.status_code, _message(response.text)
        said = f"the server at {self._url} answered {status} ({message})"
        if status in (429, 503):
            return _Unavailable(f"{said}: it is busy or still loading, ask again later")
        if status in (401, 403):
            return ServerError(f"{said}: set {KEY_VARIABLE} to the key that it was started with")
        if status in (400, 404):
            names = await self._model_names(client)
            if names and self._model not in names:
                return ServerError(
                    f"the server at {self._url} has no model {self._model!r}: write one of its "
                    f"own as `reasoner` in the profile: {', '.join(names)}"
                )
            if status == 404 and not names:
                return ServerError(f"{said}: `server` in the profile usually ends in /v1")
        if "context" in message.lower() and ("length" in message or "size" in message):
            return ServerError(f"{said}: {_LONGER_CONTEXT}")
        return ServerError(f"{said}: look into its log")

    async def _model_names(self, client: httpx2.AsyncClient) -> list[str]:
        """What the server offers; nothing if it doesn't say."""
        try:
            response = await client.get(f"{self._url}/models")
            return [str(model["id"]) for model in response.json()["data"]]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return []

    def _chunk(self, data: str) -> dict[str, Any]:
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise ServerError(
                f"the server at {self._url} sent something else than a chat completion: "
                f"{_shorten(data)!r}"
            )
        if "error" in chunk:
            raise ServerError(f"the server at {self._url} gave up: {_message(data)}")
        return chunk

    def _silent(self, text: str) -> ServerError:
        limits = self._timeouts
        waited = f"{limits.next_token:g} s for more" if text else f"{limits.first_token:g} s"
        return ServerError(
            f"the server at {self._url} wrote nothing within {waited}: it hangs or has too much "
            f"to do; look into its log"
        )

    def _away(self, error: Exception) -> "_Unavailable":
        port = httpx2.URL(self._url).port or 80
        reason = str(error) or type(error).__name__
        return _Unavailable(
            f"the server at {self._url} is away ({reason}): start it, such as with "
            f"`vllm serve {self._model} --port {port}`, or correct `server` in the profile"
        )


class _Unavailable(ServerError):
    """Away or busy before it wrote anything: worth another attempt."""


class StreamedCompletion:
    """One completion while it comes; passes its text on."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._stopped = False
        self.text = ""
        self.new_tokens = 0
        self.ended = False
        """Whether nothing of the text is missing."""

    @property
    def complete(self) -> bool:
        """Whether the answer is there, so that nothing more is of use."""
        return self.text.endswith(END)

    def push(self, chunk: dict[str, Any]) -> bool:
        """Take a chunk in; whether it brought text."""
        try:
            choice = chunk["choices"][0] if chunk.get("choices") else {}
            delta = choice.get("delta") or {}
            piece, reason = delta.get("content") or "", choice.get("finish_reason")
            text = self.text + piece
            counted = int((chunk.get("usage") or {}).get("completion_tokens") or 0)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ServerError(
                f"the server sent no chat completion but {_shorten(str(chunk))}"
            ) from error
        if delta.get("reasoning_content") or delta.get("reasoning"):
            raise ServerError(
                "the server takes the thinking out of the text: start it without a reasoning "
                "parser (llama.cpp: --reasoning-format none)"
            )
        if reason not in (None, "stop", "length"):
            raise ServerError(f"the server ended the answer early ({reason}): look into its log")
        self.new_tokens = counted or self.new_tokens + bool(piece)
        self._emit(text)
        self._stopped = self._stopped or reason == "stop"
        self.ended = self.ended or reason is not None or self.complete
        return bool(piece)

    def finish(self) -> str:
        """The whole text; the closing tag back in its place if the server cut it off."""
        if self._stopped and "<answer>" in self.text and END not in self.text:
            self._emit(self.text + END)
        return self.text

    def _emit(self, text: str) -> None:
        end = text.find(END)
        if end >= 0:
            text = text[: end + len(END)]
        piece, self.text = text[len(self.text) :], text
        if piece:
            self._on_text(piece)


def _message(body: str) -> str:
    """What the server says went wrong."""
    try:
        content = json.loads(body)
        error = content.get("error") or content
        said = error if isinstance(error, str) else error.get("message") or error.get("detail")
    except (ValueError, AttributeError):
        said = None
    return _shorten(str(said or body).strip() or "no reason given")


def _shorten(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
