"""The thinking part of a completion, while it is still being written."""

_OPENING, _CLOSING, _ANSWER = "<think>", "</think>", "<answer>"
_BARE_ANSWER = ("[", "{", "`")
"""How a completion starts that answers without any thinking."""


class ThinkingStream:
    """Takes a completion piece by piece and gives the thinking out as soon as it is certain.

    What it gives is, blanks at the ends aside, the reasoning that `answers.parse` reads, if the
    completion starts with its opening tag or has none (it may be part of the prompt).
    """

    def __init__(self) -> None:
        self._held = ""
        self._started = False
        self.ended = False

    def feed(self, piece: str) -> str:
        """Return the thinking that `piece` makes certain, maybe none."""
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
        """Return what is left when nothing more comes."""
        text = "" if self.ended or not self._started else self._held
        self._held, self.ended = "", True
        return text

    def _start(self) -> bool:
        """Look past the opening tag; whether it is clear by now that there is none to come."""
        text = self._held.lstrip()
        if not text or (len(text) < len(_OPENING) and _OPENING.startswith(text)):
            return False
        self._started = True
        self._held = text.removeprefix(_OPENING)
        self.ended = text.startswith(_BARE_ANSWER)
        return not self.ended

    def _open_tag(self) -> int:
        """Length of the end that may become a tag."""
        longest = max(len(_CLOSING), len(_ANSWER)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if _CLOSING.startswith(tail) or _ANSWER.startswith(tail):
                return length
        return 0
