"""Texts that the demo's reasoner learns to write: a thought about the table, then the answer.

The thought lists the objects with their boxes from left to right, then those that match; the
answer repeats their boxes. A small model learns to copy from such a list; the bare answer alone it
does not learn.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from segzero.reasoning.answers import AnswerFormat, format_answer
from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import Question, SeenObject, sample_question

ANSWER_FORMAT: AnswerFormat = "vision_reasoner"
MATCH = " match"
"""Separates the list of all objects from those that match; one token."""
REQUESTS = ("find", "where is", "show me", "point at")
GRID = 4
"""Coordinates in training answers are multiples of this, of 1000: 250 values to learn."""
ALL_CATEGORIES = {1: 0.45, 2: 0.2, 3: 0.13, 4: 0.11, 5: 0.11}
NAMES_ONLY = {1: 1.0}
"""Probability of each category, as in ALL_CATEGORIES."""


def pick_question(
    seen: Sequence[SeenObject], categories: Mapping[int, float], rng: np.random.Generator
) -> Question | None:
    """Draw a question, sometimes as a request ("find the red ball").

    Args:
        seen: Visible objects.
        categories: Probability of each category.
        rng: Draws category and question.

    Returns:
        The question; None if ten times the objects allow none of the category that was drawn.
    """
    for _ in range(10):
        category = int(rng.choice(list(categories), p=list(categories.values())))
        question = sample_question(seen, category, rng)
        if question is not None:
            break
    else:
        return None
    if not question.text.startswith(("what", "where")) and rng.random() < 0.25:
        text = f"{rng.choice(REQUESTS)} {question.text}"
        return Question(question.category, text, question.ids)
    return question


def completion(seen: Sequence[SeenObject], question: Question, thinks: bool = True) -> str:
    """The completion that answers a question, with coordinates relative to 1000.

    Args:
        seen: Visible objects.
        question: With the ids of its objects.
        thinks: Whether it has the thought; without, `<think></think>` is empty.

    Returns:
        The whole text.
    """
    return format_answer(
        thought(seen, question) if thinks else "",
        grid_objects(seen, question),
        ANSWER_FORMAT,
    )


def grid_objects(seen: Sequence[SeenObject], question: Question) -> list[GroundedObject]:
    """The objects that match, from left to right, with coordinates relative to 1000 on the grid."""
    return [_grounded(item) for item in _matching(seen, question)]


def thought(seen: Sequence[SeenObject], question: Question) -> str:
    """The thought: all objects with their boxes from left to right, then those that match."""
    matches = "; ".join(map(_entry, _matching(seen, question))) or "none"
    return f"{'; '.join(map(_entry, _ordered(seen)))}. {MATCH.strip()}: {matches}."


def _ordered(seen: Sequence[SeenObject]) -> list[SeenObject]:
    return sorted(seen, key=lambda item: item.centre[0])


def _matching(seen: Sequence[SeenObject], question: Question) -> list[SeenObject]:
    return [item for item in _ordered(seen) if item.id in question.ids]


def _entry(item: SeenObject) -> str:
    return f"{item.name} [{','.join(map(str, _grid(*item.box)))}]"


def _grounded(item: SeenObject) -> GroundedObject:
    return GroundedObject(Box(*_grid(*item.box)), (Point(*_grid(*item.point)),))


def _grid(*shares: float) -> tuple[int, ...]:
    return tuple(GRID * round(1000 * share / GRID) for share in shares)
