"""Rewards for the format and length of a completion and for empty answers; boxes don't count."""

import re
from collections.abc import Sequence
from typing import Any

from segzero_train.datasets.solutions import parse_solution
from segzero_train.errors import BadRecipe
from segzero_train.rewards.base import Completion, RewardFunction, per_completion, unit
from segzero_train.rewards.context import RewardContext

_OPENING, _CLOSING = "<think>", "</answer>"
_MIDDLE = re.compile(r"</think>\s*+<answer>")


def has_thinking_format(text: str) -> bool:
    """Whether the text is `<think>…</think>`, blanks, `<answer>…</answer>` from end to end.

    In linear time, whatever the text.
    """
    return (
        text.startswith(_OPENING)
        and text.endswith(_CLOSING)
        and _MIDDLE.search(text, len(_OPENING), len(text) - len(_CLOSING)) is not None
    )


@per_completion
def thinking_format(text: str, solution: str) -> float:
    """1 if the completion is `<think>…</think>`, blanks, `<answer>…</answer>`; else 0."""
    return float(has_thinking_format(text))


@per_completion
def answer_only(text: str, solution: str) -> float:
    """1 if the completion is `<answer>…</answer>` without thinking; else 0."""
    return float(is_answer_only(text))


def is_answer_only(text: str) -> bool:
    """Whether the text is `<answer>…</answer>` from end to end, with one tag of each."""
    tags = [text.count(tag) for tag in ("<answer>", _CLOSING, _OPENING, "</think>")]
    return text.startswith("<answer>") and text.endswith(_CLOSING) and tags == [1, 1, 0, 0]


def make_empty_answer(context: RewardContext) -> RewardFunction:
    """The reward `empty_answer`."""

    @per_completion
    def empty_answer(text: str, solution: str) -> float:
        """1 if answer and solution agree on whether anything matches, else 0; malformed 0."""
        answer = context.answer(text)
        return float(answer is not None and bool(answer.objects) == bool(parse_solution(solution)))

    return empty_answer


def make_no_target(context: RewardContext) -> RewardFunction:
    """The reward `no_target`."""

    @per_completion
    def no_target(text: str, solution: str) -> float:
        """1 for an empty answer where nothing matches, else 0: gRefCOCO's N-acc.

        (arXiv 2306.00968.) Questions about something earn nothing either way, so that its weight
        doesn't change what a found object is worth.
        """
        answer = context.answer(text)
        return float(answer is not None and not answer.objects and not parse_solution(solution))

    return no_target


def make_overlong(context: RewardContext) -> RewardFunction:
    """The reward `overlong`.

    Args:
        context: Its `max_completion_length` and `overlong_tokens` say where it begins.

    Returns:
        The reward function.

    Raises:
        BadRecipe: `overlong_tokens` isn't from 1 to `max_completion_length`.
    """
    longest, margin = context.max_completion_length, context.overlong_tokens
    if not 1 <= margin <= longest:
        raise BadRecipe(
            f"overlong_tokens must be from 1 to max_completion_length ({longest}), not {margin}"
        )

    def overlong(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """0 up to `overlong_tokens` before the longest completion, then falling to -1 at it.

        DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), in tokens. Where a
        completion has no `completion_ids`, as in the greedy evaluation, it is 0.
        """
        ids = columns.get("completion_ids") or [()] * len(completions)
        return [-unit((len(tokens) - longest + margin) / margin) for tokens in ids]

    return overlong


def make_short_thinking(context: RewardContext) -> RewardFunction:
    """The reward `short_thinking`.

    Args:
        context: Its `thinking_words` are paid in full.

    Returns:
        The reward function.

    Raises:
        BadRecipe: `thinking_words` is below 1.
    """
    allowed = context.thinking_words
    if allowed < 1:
        raise BadRecipe(f"thinking_words must be at least 1, not {allowed}")

    @per_completion
    def short_thinking(text: str, solution: str) -> float:
        """1 for thinking of up to `thinking_words` words, falling linearly to 0 at twice that.

        0 for a completion without the thinking format or with a malformed answer.
        """
        answer = context.answer(text) if has_thinking_format(text) else None
        return 0.0 if answer is None else unit(2 - len(answer.reasoning.split()) / allowed)

    return short_thinking
