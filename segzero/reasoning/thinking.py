"""The thinking part of a completion, while the model generates it."""

_OPENING, _CLOSING, _ANSWER = "<think>", "</think>", "<answer>"
_BARE_ANSWER = ("[", "{", "`")
"""How a completion starts that answers without any thinking."""


class ThinkingStream:
    """Reads a completion in pieces and returns the thinking as soon as it is certain.

    The joined results are the reasoning that `answers.parse` reads, except for blanks at both ends.
    The completion starts with `<think>`, or has none, as the tag may be part of the prompt.

    Attributes:
        ended: Whether the thinking is complete.
    """

    def __init__(self) -> None:
        """Start before the first piece."""
        self._held = ""
        self._started = False
        self.ended = False

    def feed(self, piece: str) -> str:
        """Read the next piece.

        Args:
            piece: Text of the completion, of any length.

        Returns:
            The thinking that the piece makes certain; may be empty.
        """
        if self.ended:
            return ""
        self._held += piece
        if not self._started and not self._start():
            return ""
        ends = [at for tag in (_CLOSING, _ANSWER) if (at := self._held.find(tag)) >= 0]
        self.ended = bool(ends)
        certain = min(ends) if ends else len(self._held) - self._open_tag()
        text, self._held = self._held[:certain], self._held[certain:]
        return text

    def end(self) -> str:
        """Return the rest of the thinking after the last piece."""
        text = "" if self.ended or not self._started else self._held
        self._held, self.ended = "", True
        return text

    def _start(self) -> bool:
        """Skip the opening tag; whether the thinking has begun."""
        text = self._held.lstrip()
        if not text or (len(text) < len(_OPENING) and _OPENING.startswith(text)):
            return False
        self._started = True
        self._held = text.removeprefix(_OPENING)
        self.ended = text.startswith(_BARE_ANSWER)
        return not self.ended

    def _open_tag(self) -> int:
        """Length of the last characters that may be the start of a tag."""
        longest = max(len(_CLOSING), len(_ANSWER)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if _CLOSING.startswith(tail) or _ANSWER.startswith(tail):
                return length
        return 0
