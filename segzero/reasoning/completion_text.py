"""The text of one completion while it is generated, up to the answer's closing tag."""

import re
from collections.abc import Callable
from typing import Any, cast

ANSWER_START, ANSWER_END = "<answer>", "</answer>"

# Control characters other than line ends and tabs: a terminal would obey them. Lone surrogates:
# UTF-8 can't encode them, and ROS and files are UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


class CompletionText:
    """Collects pieces of text and passes them on; what follows the closing tag is dropped.

    Args:
        on_text: Called with each new piece; the pieces join to `text`.

    Attributes:
        text: What came so far. Control characters and lone surrogates are U+FFFD in it.
    """

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self.text = ""

    @property
    def is_complete(self) -> bool:
        """Whether the closing tag is there."""
        return self.text.endswith(ANSWER_END)

    def append(self, piece: str) -> None:
        """Add a piece of text.

        Args:
            piece: Of any length; the closing tag may be spread over several pieces.
        """
        before = len(self.text)
        text = self.text + _UNSAFE.sub("\ufffd", piece)
        end = text.find(ANSWER_END, max(0, before - len(ANSWER_END)))
        self.text = text if end < 0 else text[: end + len(ANSWER_END)]
        if len(self.text) > before and self._on_text is not None:
            self._on_text(self.text[before:])


class CompletionBuffer:
    """One completion while it is generated: from tokens to text.

    Args:
        tokenizer: The model's own.
        eos_ids: Tokens that end a completion.
        on_text: Called with each piece of the text.

    Attributes:
        new_tokens: How many tokens came, the one that ended it included.
        is_done: Whether the completion has ended.
    """

    def __init__(
        self, tokenizer: Any, eos_ids: frozenset[int], on_text: Callable[[str], None] | None
    ) -> None:
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._text = CompletionText(on_text)
        self._pending: list[int] = []
        self.new_tokens = 0
        self.is_done = False

    def push(self, token: int) -> None:
        """Add the next token; after the end these are padding and are ignored.

        Args:
            token: Its id.
        """
        if self.is_done:
            return
        self.new_tokens += 1
        self._pending.append(token)
        whole = self._whole_tokens()
        self._text.append(self._decode(self._pending[:whole]))
        self._pending = self._pending[whole:]
        self.is_done = token in self._eos_ids or self._text.is_complete

    def finish(self) -> str:
        """The whole text, after the last token."""
        self._text.append(self._decode(self._pending))
        self._pending = []
        return self._text.text

    def _whole_tokens(self) -> int:
        """How many of the pending tokens end with a whole character, or with what is none."""
        text, count = self._decode(self._pending), len(self._pending)
        # A character of several tokens decodes to U+FFFD until it is complete.
        if not text.endswith("\ufffd"):
            return count
        # It has four bytes at most, so that only the last three tokens can be a part of it.
        for cut in range(count - 1, max(0, count - 4), -1):
            if self._decode(self._pending[:cut]) + self._decode(self._pending[cut:]) == text:
                return cut
        return 0

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return cast(str, text)
