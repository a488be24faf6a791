"""What TRL wants of a reward function, and how one is made from the score of a single text."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Completion = str | Sequence[dict[str, Any]]
"""A text, or messages of which the last one counts: `[{"role": "assistant", "content": …}]`, the
content being a text or parts such as `{"type": "text", "text": …}`."""

UNSCORABLE = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What reading and comparing whatever a model writes can raise."""


class RewardFunction(Protocol):
    """A reward as TRL calls it: one value for each completion."""

    __name__: str

    def __call__(
        self, completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """Score completions.

        Args:
            completions: The completions of a step.
            solution: The dataset's column, a value for each completion.
            columns: Its other columns, alike.

        Returns:
            A value for each completion.
        """
        ...


def completion_text(completion: Completion) -> str:
    """The text that the model wrote."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def per_completion(score: Callable[[str, str], float]) -> RewardFunction:
    """A reward function from the score of a single text.

    Args:
        score: Called with a completion's text and its solution.

    Returns:
        A function of the same name; 0 where `score` raises one of UNSCORABLE.
    """

    def reward(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        return [
            _score_or_zero(score, completion_text(completion), ground_truth)
            for completion, ground_truth in zip(completions, solution, strict=True)
        ]

    reward.__name__ = reward.__qualname__ = score.__name__
    reward.__doc__ = score.__doc__
    return reward


def unit(value: float) -> float:
    """The value clipped to [0, 1]; NaN becomes 0."""
    return min(max(0.0, float(value)), 1.0)


def _score_or_zero(score: Callable[[str, str], float], text: str, solution: str) -> float:
    try:
        return score(text, solution)
    except UNSCORABLE:
        return 0.0
