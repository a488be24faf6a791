"""Reasoning models: image + question → completion text."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = Sequence[NDArray[np.uint8]]
"""(H, W, 3) RGB each; their sizes may differ."""
OnText = Callable[[str], None] | None
"""Called with each piece of a completion when it is generated."""
Stop = threading.Event | None
"""Set from any thread, it ends the work within a token."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a reasoner generated.

    Attributes:
        text: Without the prompt and without chat tokens.
        model_size: (width, height) in pixels of the image after the processor's resize.
        new_tokens: How many tokens were generated.
    """

    text: str
    model_size: tuple[int, int]
    new_tokens: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """Completions are drawn at random instead of decoded greedily.

    Attributes:
        temperature: Above 0; at 1 they are drawn from the model's own distribution.
        seed: The same one gives the same completions of the same batch on the same device.
    """

    temperature: float
    seed: int


class Reasoner(Protocol):
    """Anything that completes the prompt of an image and a question."""

    @property
    def model_size(self) -> tuple[int, int] | None:
        """As in each Completion, known before it; None where only an answer tells."""
        ...

    def complete(
        self, image: NDArray[np.uint8], question: str, *, on_text: OnText = None, stop: Stop = None
    ) -> Completion:
        """Generate the thinking and the answer.

        Args:
            image: (H, W, 3) uint8 RGB.
            question: What to look for.
            on_text: Called with each piece of text when it is generated; joined, they are the text.
            stop: Once it is set, generation ends within a token.

        Returns:
            The completion.

        Raises:
            BadQuestion: The question is unusable.
            Cancelled: `stop` was set.
            DeviceOutOfMemory: The memory is full.
            ServerError: The server failed.
        """
        ...

    def warm_up(self) -> None:
        """Use the model once, so that the first completion is as fast as the next ones."""
        ...

    def complete_batch(
        self, images: Images, questions: Sequence[str], sampling: Sampling | None = None
    ) -> list[Completion]:
        """Complete several prompts at once.

        Args:
            images: (H, W, 3) uint8 RGB each.
            questions: One for each image.
            sampling: How they are drawn; None decodes greedily.

        Returns:
            What `complete` returns for each, except for the rounding of half precision.

        Raises:
            CheckpointError: This reasoner can't sample.
            BadQuestion: A question is unusable; nothing was generated.
            DeviceOutOfMemory: The memory is full.
            ServerError: The server failed.
        """
        ...
