"""One completion of a server while it comes, event by event."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segzero.reasoning.completion_text import ANSWER_END, ANSWER_START, CompletionText
from segzero.reasoning.server_text import error_message, printable

_FAILED = re.compile(
    "abort|error|cancel|filter|fail|time.?out|refus|safety|block|tool|function|disconnect|interrupt"
    "|insufficient|overload|shut.?down|preempt|evict|kill|crash|internal|moderat|sensitiv|prohibit"
    "|recitation|out.?of.?memory|oom",
    re.IGNORECASE,
)
_TRUNCATED = re.compile("length|max_|limit|exceed|truncat|incomplete|full|budget", re.IGNORECASE)
_NO_REASON = ("null", "none", "nil", "undefined")
_APART = re.compile("reason|think|thought", re.IGNORECASE)
"""Keys under which servers send the thinking apart from the text."""


@dataclass(frozen=True, slots=True)
class ServedCompletion:
    """What the server generated.

    Attributes:
        text: Up to and with the answer's closing tag.
        new_tokens: The server's count, or the number of pieces of text if it sent none.
        prompt_tokens: The server's count of the prompt, picture included; 0 if it sent none.
    """

    text: str
    new_tokens: int
    prompt_tokens: int


class BadChunk(Exception):
    """What the server did wrong, after its address."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event of the stream brings; 0 tokens where it doesn't count them."""

    piece: str
    has_reasoning: bool
    finish_reason: str | None
    completion_tokens: int
    prompt_tokens: int


def parse_chunk(content: dict[str, Any]) -> Chunk:
    """Read the JSON of one event.

    Args:
        content: As the server sent it.

    Returns:
        The chunk.

    Raises:
        AttributeError, KeyError, TypeError, ValueError, OverflowError: It is something else than a
            chat completion's chunk.
        BadChunk: The server said that it gives no answer.
    """
    choice = _first(content.get("choices") or [])
    delta = choice.get("delta") or {}
    if "delta" not in choice:  # as without a stream, or of the older API for texts
        delta = choice.get("message") or {"content": choice.get("text")}
    called = delta.get("tool_calls") or delta.get("function_call")
    refused = delta.get("refusal") or ("a call of a tool" if called else None)
    if refused:
        raise BadChunk(f"answered with something else than text: {printable(str(refused))}")
    if choice.get("error"):
        raise BadChunk(f"gave up: {error_message(json.dumps(choice))}")
    piece, has_reasoning = _text(delta.get("content"))
    usage = content.get("usage") or {}
    return Chunk(
        piece,
        has_reasoning or any(_APART.search(key) and delta[key] for key in delta),
        _reason(choice.get("finish_reason")),
        max(0, int(usage.get("completion_tokens") or 0)),
        max(0, int(usage.get("prompt_tokens") or 0)),
    )


def _first(choices: list[Any]) -> dict[str, Any]:
    """The first of several answers at once; empty if the chunk belongs to another."""
    return next((choice for choice in choices if not choice.get("index")), {})


def _text(content: Any) -> tuple[str, bool]:
    """The text of a content, which may come in typed parts, and whether thinking is apart."""
    if not isinstance(content, list):
        if not isinstance(content or "", str):
            raise TypeError("content is no text")
        return content or "", False
    kinds = {part["type"] for part in content}
    pieces = [part["text"] for part in content if part["type"] == "text"]
    return "".join(pieces), any(map(_APART.search, kinds))


def _reason(value: Any) -> str | None:
    """Why the text ends; None as long as it goes on."""
    if isinstance(value, dict):  # SGLang's own: {"type": "stop", "matched": …}
        value = value.get("type")
    if value == "" or (isinstance(value, str) and value.lower() not in _NO_REASON):
        return str(value)
    return str(value) if isinstance(value, bool | int) and value else None


class CompletionStream:
    """One completion while it comes; passes its text on.

    Args:
        on_text: Called with each piece of the text.
        max_characters: More text is an error.
    """

    def __init__(self, on_text: Callable[[str], None], max_characters: int) -> None:
        self._text = CompletionText(on_text)
        self._max_characters = max_characters
        self._half = ""
        """First half of a surrogate pair, whose second half the next chunk brings."""
        self._finish_reason: str | None = None
        self._new_tokens = self._prompt_tokens = 0
        self.has_ended = False
        """Whether nothing of the text is missing."""

    @property
    def text(self) -> str:
        """What came so far."""
        return self._text.text

    @property
    def is_complete(self) -> bool:
        """Whether the answer is there, so that nothing more is of use."""
        return self._text.is_complete

    def push(self, chunk: Chunk) -> bool:
        """Take a chunk in.

        Returns:
            Whether it brought text.

        Raises:
            BadChunk: The server did something that makes the answer useless.
        """
        if chunk.has_reasoning:
            raise BadChunk(
                "takes the thinking out of the text: start it without a reasoning parser "
                "(llama.cpp: --reasoning-format none)"
            )
        reason = chunk.finish_reason
        if reason and _FAILED.search(reason):
            raise BadChunk(f"ended the answer early ({printable(reason)}): look into its log")
        if len(self.text) + len(chunk.piece) > self._max_characters:
            raise BadChunk(
                f"sent more than {self._max_characters} characters: it doesn't keep to max_tokens"
            )
        counted = min(chunk.completion_tokens, self._max_characters)
        self._new_tokens = counted or self._new_tokens + bool(chunk.piece)
        self._prompt_tokens = chunk.prompt_tokens or self._prompt_tokens
        self._append(chunk.piece)
        if reason is not None:
            self._finish_reason = reason
        # Some servers send an empty reason with each chunk: `close` decides on those.
        self.has_ended = self.has_ended or bool(reason) or self.is_complete
        return bool(chunk.piece)

    def close(self) -> None:
        """The stream ended as a stream should: an empty reason at its end is a reason."""
        self.has_ended = self.has_ended or self._finish_reason == ""

    def finish(self) -> ServedCompletion:
        """The whole completion; the closing tag back in its place if the server cut it off."""
        if self._half:
            self._text.append(self._half)
        reason = self._finish_reason
        is_whole = reason is not None and not _TRUNCATED.search(reason)
        if is_whole and ANSWER_START in self.text and ANSWER_END not in self.text:
            self._text.append(ANSWER_END)
        return ServedCompletion(self.text, self._new_tokens, self._prompt_tokens)

    def _append(self, piece: str) -> None:
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        # Halves that JSON brought one by one become one character.
        self._text.append(piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
