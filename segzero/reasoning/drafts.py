"""Drafts of an answer's next tokens, from its format alone: all but the digits is known.

Example answers, in the model's own tokens, say what follows what. The decoder verifies a draft in
one step and keeps only what greedy decoding writes anyway.
"""

from collections.abc import Iterator
from typing import Any

from segzero.reasoning.answers import LAYOUTS, AnswerFormat, format_answer
from segzero.types import Box, GroundedObject, Point

_NUMBER = -1
"""Stands for a whole number, whatever its digits."""
_LONGEST = 12
"""Symbols that a draft may depend on; a box has eight."""
_DIGITS = 3
"""Of every number in the examples: after as many, a number is taken to be complete."""


class Drafts:
    """Drafts for one model's tokens and one answer format; one completion at a time.

    Args:
        tokenizer: The model's own.
        answer_format: See `segzero.reasoning.answers`.

    Attributes:
        active: Whether the completion has come to its answer.
        least: The shortest draft that is worth a step.
    """

    def __init__(self, tokenizer: Any, answer_format: AnswerFormat) -> None:
        self._tokenizer = tokenizer
        self.least = 1
        self._is_digit: dict[int, bool] = {}
        self._full = len(self._encode("1" * _DIGITS))  # one token each, or one in all
        self._following: dict[tuple[int, ...], list[int]] = {}
        self._openings: set[tuple[int, ...]] = set()  # contexts of a closing tag, before any number
        for text in _examples(answer_format):
            self._learn(self._encode(text))
        self.restart()

    def restart(self) -> None:
        """Begin another completion."""
        self.active = False
        self._symbols: list[int] = []
        self._digits = 0
        self._guess: list[int] = []

    def push(self, token: int) -> None:
        """Read the next token of the completion."""
        self._append(self._symbols, token)
        del self._symbols[:-_LONGEST]
        self._digits = self._digits + 1 if self._symbols[-1] == _NUMBER else 0
        # A number may go on until it has all its digits.
        self._guess = [] if 0 < self._digits < self._full else self._find()
        self.active = self.active or bool(self._guess)

    def guess(self) -> list[int]:
        """What probably follows; nothing where that isn't known, or not worth a step."""
        return self._guess if len(self._guess) >= self.least else []

    def _find(self) -> list[int]:
        """What follows the longest context that the examples have."""
        symbols = tuple(self._symbols)
        for start in range(len(symbols)):
            found = self._following.get(symbols[start:])
            if found is not None and (self.active or symbols[start:] in self._openings):
                return found
        return []

    def _learn(self, tokens: list[int]) -> None:
        symbols: list[int] = []
        for token in tokens:
            self._append(symbols, token)
        for place in range(1, len(symbols)):
            run = _until_number(symbols[place:])
            for start in range(max(0, place - _LONGEST), place):
                context = tuple(symbols[start:place])
                if context != (_NUMBER,):
                    known = self._following.setdefault(context, run)
                    self._following[context] = _common(known, run)
                if _NUMBER not in symbols[:place] and "</" in self._tokenizer.decode(context):
                    self._openings.add(context)

    def _append(self, symbols: list[int], token: int) -> None:
        """Add a token; the digits of a number are one symbol."""
        if token not in self._is_digit:
            self._is_digit[token] = self._tokenizer.decode([token]).isdigit()
        if not self._is_digit[token]:
            symbols.append(token)
        elif not symbols or symbols[-1] != _NUMBER:
            symbols.append(_NUMBER)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _until_number(symbols: list[int]) -> list[int]:
    return symbols[: symbols.index(_NUMBER)] if _NUMBER in symbols else symbols


def _common(first: list[int], second: list[int]) -> list[int]:
    """What both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    shortest = min(len(first), len(second))
    return first[: next((at for at, (a, b) in pairs if a != b), shortest)]


def _examples(answer_format: AnswerFormat) -> Iterator[str]:
    """Ends of completions, from the end of the thinking on, in the ways that models write them."""
    layout = LAYOUTS[answer_format]
    points = 2 if layout.keys == "seg_zero" else 1
    item = GroundedObject(Box(111, 111, 111, 111), (Point(111, 111),) * points)
    for count in (1,) if layout.keys == "seg_zero" else (1, 2, 3):
        text = format_answer("", [item] * count, answer_format)
        answer = text[text.index("<answer>") :]
        for end in ("</think>", ".</think>", " </think>", "\n</think>"):
            for gap in ("", "\n", " "):
                yield end + gap + answer
                # The prompt of Seg-Zero has single quotes, its checkpoints write both.
                yield end + gap + answer.replace("'", '"')
