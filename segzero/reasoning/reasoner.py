"""Reasoning models: image + question → completion text."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Completion:
    """What a reasoner wrote.

    text: without the prompt and without chat tokens.
    model_size: (width, height) in pixels of the image that the model really saw.
    new_tokens: how many tokens were generated.
    """

    text: str
    model_size: tuple[int, int]
    new_tokens: int


class Reasoner(Protocol):
    """Anything that completes the prompt of an image and a question."""

    def complete(
        self,
        image: NDArray[np.uint8],
        question: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Completion:
        """Think and answer.

        image: (H, W, 3) uint8 RGB.
        on_text: called with each piece of text as it is generated; the pieces join to the text.
        stop: once set, generation ends within a token.

        Raises BadQuestion, DeviceOutOfMemory or ServerError, and Cancelled after `stop`.
        """
        ...

    def warm_up(self) -> None:
        """Do beforehand what would make the first completion a slow one."""
        ...

    def complete_batch(
        self, images: Sequence[NDArray[np.uint8]], questions: Sequence[str]
    ) -> list[Completion]:
        """Complete several prompts at once, each of an image and its question.

        A completion is what `complete` writes, up to the rounding of half precision.
        Raises BadQuestion before anything is generated, DeviceOutOfMemory or ServerError.
        """
        ...
