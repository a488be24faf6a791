"""The text of one completion while it is generated, up to the answer's closing tag."""

import re
from collections.abc import Callable

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
