"""The simulated tabletop as a dataset: sample k of a split is the same on every machine.

Rendering depends on the OpenGL library in the last bits of a colour, and on nothing else.
"""

import io
import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import CATEGORIES, Question, SeenObject, look, sample_question
from segzero_sim.tabletop import Frame, TabletopRenderer, draw_usable
from segzero_train.datasets.columns import format_solution
from segzero_train.datasets.processes import each, stopped
from segzero_train.datasets.sample import Sample
from segzero_train.datasets.tabletop_texts import thought

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {"test": 0, "val": 100_000, "train": 2_000_000}
"""First seed of each split; the demo models' own scenes start at one million (`demo.frames`)."""
MAX_SIZE = 100_000
_CHUNK = 100
"""Scenes that a process draws before it hands them over."""
_WIDTH, _HEIGHT = 320, 240
_RETRY = 10**8
"""Between the seeds that are tried for a scene that allows a question of the category."""


def samples(split: str, size: int) -> Iterator[Sample]:
    """`size` samples, the categories in turn, each of a scene of its own.

    Raises ValueError for an unknown split or a size that isn't 1 to MAX_SIZE.
    """
    for name, frame, seen, question in _draw(split, range(_checked(split, size))):
        yield to_sample(name, frame, seen, question)


def rows(split: str, size: int) -> "Dataset":
    """The same as a dataset in memory, in the columns of `columns`; ValueError as `samples`.

    Solutions are in the style `vision_reasoner`. A further column, `thinking`, reads the table, in
    coordinates relative to 1000.
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


def features() -> Any:
    """The columns of `rows`."""
    from datasets import Features, Image, Value

    texts = dict.fromkeys(("id", "problem", "solution", "category", "thinking"), Value("string"))
    sizes = dict.fromkeys(("img_height", "img_width"), Value("int64"))
    return Features(texts | sizes | {"image": Image(), "mask": Image()})


def row_dicts(split: str, numbers: range) -> list[dict[str, Any]]:
    """The rows with these numbers; pictures as PNG bytes."""
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
            "img_height": ids.shape[0],
            "img_width": ids.shape[1],
            "image": {"bytes": _png(frame.rgb), "path": None},
            "mask": {"bytes": _png(ids), "path": None},
        }
        made.append(row)
    return made


def _checked(split: str, size: int) -> int:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"a split has 1 to {MAX_SIZE} samples, not {size}")
    return size


def _draw(
    split: str, numbers: range
) -> Iterator[tuple[str, Frame, tuple[SeenObject, ...], Question]]:
    with TabletopRenderer(_WIDTH, _HEIGHT) as renderer:
        for number in numbers:
            if stopped():
                raise InterruptedError("the main process stopped the work")
            frame, seen, question = _scene(
                renderer, SPLITS[split] + number, CATEGORIES[number % len(CATEGORIES)]
            )
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


def to_sample(name: str, frame: Frame, seen: tuple[SeenObject, ...], question: Question) -> Sample:
    """A frame and a question about it, with boxes and points in pixels."""
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


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
