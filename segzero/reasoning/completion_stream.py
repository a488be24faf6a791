"""One completion of a server while it comes, event by event."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segzero.reasoning.completion_text import ANSWER_END, ANSWER_START, CompletionText
from segzero.reasoning.server_text import printable

_FAILED = re.compile(
    "abort|error|cancel|filter|fail|time.?out|refus|safety|block|tool|function|disconnect",
    re.IGNORECASE,
)
_TRUNCATED = re.compile("length|max_|limit", re.IGNORECASE)


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
        AttributeError, KeyError, TypeError, ValueError, OverflowError, IndexError: It is something
            else than a chat completion's chunk.
    """
    choice = content["choices"][0] if content.get("choices") else {}
    delta = choice.get("delta") or {}
    piece = delta.get("content") or ""
    if not isinstance(piece, str):
        raise TypeError("content is no text")
    reason = choice.get("finish_reason")
    if isinstance(reason, dict):  # SGLang's own: {"type": "stop", "matched": …}
        reason = reason.get("type")
    usage = content.get("usage") or {}
    return Chunk(
        piece,
        bool(delta.get("reasoning_content") or delta.get("reasoning")),
        None if reason is None or reason is False else str(reason),
        max(0, int(usage.get("completion_tokens") or 0)),
        max(0, int(usage.get("prompt_tokens") or 0)),
    )


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
        self._new_tokens = chunk.completion_tokens or self._new_tokens + bool(chunk.piece)
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
