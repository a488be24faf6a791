"""What the demo's reasoner learns to write: a thought that reads the table, then the answer.

The thought names what stands where, from left to right, and repeats what matches; the answer
repeats its box. That turns finding into reading off and copying, which a small model learns
where the bare answer it does not.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from segzero.reasoning.answers import format_answer
from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import Question, SeenObject, sample_question

ANSWER_FORMAT = "vision_reasoner"
MATCH = " match"
"""Between what stands on the table and which of it is meant; one token."""
REQUESTS = ("find", "where is", "show me", "point at")
_GRID = 4
"""Coordinates of training answers are multiples of this, of 1000: 250 values to learn."""
ALL_CATEGORIES = {1: 0.45, 2: 0.2, 3: 0.13, 4: 0.11, 5: 0.11}
NAMES_ONLY = {1: 1.0}
"""How often a question is of a category."""


def pick_question(
    seen: Sequence[SeenObject], categories: Mapping[int, float], rng: np.random.Generator
) -> Question | None:
    """A question of one of `categories`, sometimes put as a request ("find the red ball").

    None if the objects allow no question of the category that was drawn, ten times in a row.
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


def completion(seen: Sequence[SeenObject], question: Question) -> str:
    """The whole text that answers `question`, coordinates relative to 1000."""
    return format_answer(
        thought(seen, question),
        [_grounded(item) for item in _matching(seen, question)],
        ANSWER_FORMAT,
    )


def thought(seen: Sequence[SeenObject], question: Question) -> str:
    """What stands where, from left to right, and what of it matches."""
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
    return tuple(_GRID * round(1000 * share / _GRID) for share in shares)
