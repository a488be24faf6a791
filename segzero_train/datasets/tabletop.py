"""The simulated tabletop as a dataset: sample k of a split is the same on every machine.

Rendering depends on the OpenGL library in the last bits of a colour, and on nothing else.
"""

from collections.abc import Iterator

import numpy as np

from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import TIERS, Question, SeenObject, look, sample_question
from segzero_sim.tabletop import Frame, TabletopRenderer, draw_usable
from segzero_train.datasets.sample import Sample

SPLITS = {"test": 0, "val": 100_000}
"""First seed of each split; training scenes start at one million (`demo.frames`)."""
_WIDTH, _HEIGHT = 320, 240
_RETRY = 10**8
"""Between the seeds that are tried for a scene that allows a question of the tier."""


def samples(split: str, size: int) -> Iterator[Sample]:
    """`size` samples, the tiers in turn, each of a scene of its own.

    Raises ValueError for an unknown split or a size that isn't 1 to 100 000.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    if not 1 <= size <= 100_000:
        raise ValueError(f"a split has 1 to 100000 samples, not {size}")
    with TabletopRenderer(_WIDTH, _HEIGHT) as renderer:
        for number in range(size):
            yield _sample(renderer, split, number, tier=TIERS[number % len(TIERS)])


def _sample(renderer: TabletopRenderer, split: str, number: int, tier: int) -> Sample:
    seed = SPLITS[split] + number
    while True:
        scene, frame = draw_usable(renderer, seed, depth=False)
        seen = look(scene, frame.ids)
        question = sample_question(seen, tier, np.random.default_rng((4, seed)))
        if question is not None:
            return to_sample(f"{split}-{number:05d}", frame, seen, question)
        seed += _RETRY


def to_sample(name: str, frame: Frame, seen: tuple[SeenObject, ...], question: Question) -> Sample:
    """A frame and a question about it, with boxes and points in pixels."""
    chosen = [item for item in seen if item.id in question.ids]
    return Sample(
        name=name,
        tier=str(question.tier),
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
