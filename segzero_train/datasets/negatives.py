"""Questions about something that a picture doesn't hold, made of a referring set's own questions.

A question moves to a picture where nothing of its category is annotated. It must name its category
("the red *car*"): "the left one" could mean something on any picture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segzero_train.datasets.items import GroundTruth, Item

_TRIES = 200
"""Questions that are tried on a picture before another picture is taken."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the set.

    Attributes:
        item: As it becomes a row.
        image_id: Of its picture.
        categories: Names of what it asks for; none where that is unknown.
    """

    item: Item
    image_id: Any
    categories: frozenset[str]


def make_negatives(
    asked: Sequence[Asked], present: Mapping[Any, frozenset[str]], count: int
) -> list[Item]:
    """Make questions whose answer is empty; always the same for the same input.

    Args:
        asked: The set's questions.
        present: Names of all categories that are annotated on a picture, by its id.
        count: How many to make.

    Returns:
        At most `count`, and at most one for each picture and question of `asked`; fewer where the
        set has too few questions that name their category.
    """
    questions = [entry for entry in asked if _names_its_category(entry)]
    random = np.random.default_rng(0)
    made: list[Item] = []
    taken: set[str] = set()
    for place in random.permutation(len(asked)).tolist() if questions else []:
        if len(made) == count:
            break
        picture = asked[place]
        there = present.get(picture.image_id)
        if not there:
            continue  # nothing annotated: anything could be on it
        for number in random.integers(len(questions), size=_TRIES).tolist():
            question = questions[number]
            name = f"{question.item.id}-on-{picture.image_id}"
            if not question.categories & there and name not in taken:
                taken.add(name)
                made.append(_moved(question.item, picture.item, name))
                break
    return made


def nothing(height: int, width: int) -> GroundTruth:
    """The true answer where nothing matches, for a picture of any size."""
    return GroundTruth(())


def _moved(question: Item, picture: Item, name: str) -> Item:
    return replace(picture, id=name, problem=question.problem, ground_truth=nothing)


def _names_its_category(entry: Asked) -> bool:
    text = entry.item.problem.lower()
    return bool(entry.categories) and all(
        re.search(rf"\b{re.escape(name.lower())}(s|es)?\b", text) for name in entry.categories
    )
