"""The simulated tabletop as a dataset: sample k of a split is the same on every machine.

Rendered colours may differ in their last bits between OpenGL libraries.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from segzero.types import Box, GroundedObject, Point
from segzero_sim.phrasings import PHRASINGS
from segzero_sim.questions import (
    CATEGORIES,
    Question,
    SeenObject,
    look,
    questions,
    sample_question,
)
from segzero_sim.scene import COLOURS, SHAPES, sample_scene
from segzero_sim.tabletop import Frame, TabletopRenderer, draw_usable
from segzero_train.datasets.masks import mask_png
from segzero_train.datasets.pictures import png_bytes
from segzero_train.datasets.processes import each, stopped
from segzero_train.datasets.sample import Sample
from segzero_train.datasets.solutions import format_solution
from segzero_train.datasets.tabletop_texts import grid_objects, thought

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {"test": 0, "val": 100_000, "phrasings": 300_000, "train": 2_000_000}
"""First seed of each split; the demo models' own scenes start at one million (`demo.frames`).

The questions of `phrasings` are those of `segzero_sim.phrasings`, for evaluation only.
"""
PHRASED = "phrasings"
MAX_SIZE = 100_000
_CHUNK = 100
"""Scenes that a process renders before it returns them."""
_WIDTH, _HEIGHT = 320, 240
_RETRY = 10**8
"""Distance between the seeds that are tried until a scene allows a question of the category."""


def samples(split: str, size: int) -> Iterator[Sample]:
    """Render samples, each of a scene of its own; the categories take turns.

    Args:
        split: One of SPLITS.
        size: 1 to MAX_SIZE.

    Yields:
        `size` samples.

    Raises:
        ValueError: There is no such split or size.
    """
    for name, frame, seen, question in _draw(split, range(_checked(split, size))):
        yield to_sample(name, frame, seen, question)


def rows(split: str, size: int) -> "Dataset":
    """The same samples as a dataset in memory, in the columns of `columns`.

    Solutions are in the style `vision_reasoner`. Two further columns are for imitation, both with
    coordinates relative to 1000 on the demo's own grid: `thinking` lists the objects on the table,
    `target` has those of the solution.

    Args:
        split: One of SPLITS.
        size: 1 to MAX_SIZE.

    Returns:
        A dataset of `size` rows.

    Raises:
        ValueError: There is no such split or size.
    """
    from datasets import Dataset

    _checked(split, size)
    chunks = [range(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK)]
    made: dict[range, list[dict[str, Any]]] = {}
    with tqdm(total=size, desc="render", unit="row", leave=False) as bar:
        for chunk, drawn in each(partial(row_dicts, split), chunks, os.cpu_count() or 1):
            made[chunk] = drawn
            bar.update(len(chunk))
    return Dataset.from_list([row for chunk in chunks for row in made[chunk]], features=features())


def largest(split: str) -> int:
    """How many samples a split of SPLITS has at most."""
    return len(PHRASINGS) if split == PHRASED else MAX_SIZE


def features() -> Any:
    """The columns of `rows`."""
    from datasets import Features, Image, Value

    names = ("id", "problem", "solution", "category", "thinking", "target")
    texts = dict.fromkeys(names, Value("string"))
    sizes = dict.fromkeys(("img_height", "img_width"), Value("int64"))
    return Features(texts | sizes | {"image": Image(), "mask": Image()})


def row_dicts(split: str, numbers: range) -> list[dict[str, Any]]:
    """Render rows.

    Args:
        split: One of SPLITS.
        numbers: Of the rows.

    Returns:
        One dictionary for each row, pictures as PNG bytes.
    """
    made = []
    for name, frame, seen, question in _draw(split, numbers):
        sample = to_sample(name, frame, seen, question)
        ids = np.zeros_like(frame.ids)
        for k, mask in enumerate(sample.masks, start=1):
            ids[mask] = k
        row = {
            "id": name,
            "problem": sample.question,
            "solution": format_solution(sample.objects, "vision_reasoner"),
            "category": sample.category,
            "thinking": thought(seen, question),
            "target": format_solution(grid_objects(seen, question), "vision_reasoner"),
            "img_height": ids.shape[0],
            "img_width": ids.shape[1],
            "image": {"bytes": png_bytes(frame.rgb), "path": None},
            "mask": {"bytes": mask_png(ids), "path": None},
        }
        made.append(row)
    return made


def _checked(split: str, size: int) -> int:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    if not 1 <= size <= largest(split):
        raise ValueError(f"the split {split} has 1 to {largest(split)} samples, not {size}")
    return size


def _draw(
    split: str, numbers: range
) -> Iterator[tuple[str, Frame, tuple[SeenObject, ...], Question]]:
    with TabletopRenderer(_WIDTH, _HEIGHT) as renderer:
        for number in numbers:
            if stopped():
                raise InterruptedError("the main process stopped the work")
            seed = SPLITS[split] + number
            if split == PHRASED:
                frame, seen, question = _phrased_scene(renderer, seed, number)
            else:
                category = CATEGORIES[number % len(CATEGORIES)]
                frame, seen, question = _scene(renderer, seed, category)
            yield f"{split}-{number:05d}", frame, seen, question


def _scene(
    renderer: TabletopRenderer, seed: int, category: int
) -> tuple[Frame, tuple[SeenObject, ...], Question]:
    while True:
        scene, frame = draw_usable(renderer, seed, depth=False)
        seen = look(scene, frame.ids)
        question = sample_question(seen, category, np.random.default_rng((4, seed)))
        if question is not None:
            return frame, seen, question
        seed += _RETRY


def _phrased_scene(
    renderer: TabletopRenderer, seed: int, number: int
) -> tuple[Frame, tuple[SeenObject, ...], Question]:
    """A scene that allows the question that a phrasing stands for.

    For one phrasing in six the first scene may be one where nothing matches.
    """
    asked, typed = PHRASINGS[number]
    named = {word for word in asked.split() if word in SHAPES or word in COLOURS}
    while True:
        there = {word for o in sample_scene(seed).objects for word in (o.shape, o.colour)}
        if number % 6 == 0 or named <= there:
            scene, frame = draw_usable(renderer, seed, depth=False)
            seen = look(scene, frame.ids)
            for question in questions(seen):
                if question.text == asked and (question.ids or number % 6 == 0):
                    return frame, seen, replace(question, text=typed)
        seed += _RETRY


def to_sample(name: str, frame: Frame, seen: tuple[SeenObject, ...], question: Question) -> Sample:
    """Convert a rendered frame and a question about it.

    Args:
        name: Of the sample.
        frame: What was rendered.
        seen: The visible objects.
        question: With the ids of its objects.

    Returns:
        The sample, boxes and points in pixels.
    """
    chosen = [item for item in seen if item.id in question.ids]
    return Sample(
        name=name,
        category=str(question.category),
        image=frame.rgb,
        question=question.text,
        objects=tuple(_grounded(item, frame) for item in chosen),
        masks=tuple(frame.ids == item.id for item in chosen),
    )


def _grounded(item: SeenObject, frame: Frame) -> GroundedObject:
    height, width = frame.ids.shape
    x1, y1, x2, y2 = item.box
    x, y = item.point
    return GroundedObject(
        box=Box(x1 * width, y1 * height, x2 * width, y2 * height),
        points=(Point(x * width - 0.5, y * height - 0.5),),
    )
