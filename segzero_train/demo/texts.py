"""What the demo's reasoner learns to write: a thought that reads the table, then the answer.

The thought names what stands where, from left to right, and which of it matches. That turns
finding into reading off and looking up, which a small model learns where the bare answer it
does not.
"""

from collections.abc import Sequence

import numpy as np

from segzero.answers import format_answer
from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import TIERS, Question, SeenObject, sample_question

ANSWER_FORMAT = "vision_reasoner"
LETTERS = "ABCDEF"
REQUESTS = ("find", "where is", "show me", "point at")
_GRID = 4
"""Coordinates of training answers are multiples of this, of 1000: 250 values to learn."""
_WEIGHTS = {1: 0.34, 2: 0.24, 3: 0.16, 4: 0.13, 5: 0.13}


def pick_question(seen: Sequence[SeenObject], rng: np.random.Generator) -> Question:
    """A question of a random tier, sometimes put as a request ("find the red ball")."""
    while True:
        tier = int(rng.choice(TIERS, p=[_WEIGHTS[tier] for tier in TIERS]))
        question = sample_question(seen, tier, rng)
        if question is not None:
            break
    if not question.text.startswith(("what", "where")) and rng.random() < 0.25:
        text = f"{rng.choice(REQUESTS)} {question.text}"
        return Question(question.tier, text, question.ids)
    return question


def completion(seen: Sequence[SeenObject], question: Question) -> str:
    """The whole text that answers `question`, coordinates relative to 1000."""
    ordered = sorted(seen, key=lambda item: item.centre[0])
    listed = "; ".join(
        f"{letter} {item.name} [{','.join(str(value) for value in _grid(*item.box))}]"
        for letter, item in zip(LETTERS, ordered, strict=False)
    )
    found = [number for number, item in enumerate(ordered) if item.id in question.ids]
    matches = ", ".join(LETTERS[number] for number in found)
    thought = f"{listed}. match: {matches}." if found else f"{listed}. none."
    objects = [_grounded(ordered[number]) for number in found]
    return format_answer(thought, objects, ANSWER_FORMAT)


def _grounded(item: SeenObject) -> GroundedObject:
    return GroundedObject(Box(*_grid(*item.box)), (Point(*_grid(*item.point)),))


def _grid(*shares: float) -> tuple[int, ...]:
    return tuple(_GRID * round(1000 * share / _GRID) for share in shares)
