"""Training batches of the demo's reasoner: image patches, their ground truth, and texts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segzero_sim.questions import SeenObject, mirror
from segzero_sim.scene import COLOURS, SHAPES
from segzero_train.datasets.tabletop_texts import ALL_CATEGORIES, completion, pick_question
from segzero_train.demo.frames import SIDE, Frames
from segzero_train.demo.segmenter import vary_colours

PATCH = 16
MERGE = 2
GRID = SIDE // PATCH
"""Patches along a side; MERGE x MERGE patches become one image token."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A batch of B pictures with P = GRID² patches each.

    Attributes:
        patches: (B·P, 1536) float32, pixels as Qwen's image processor lays them out.
        kinds: (B·P,) int64, shape of the object at each patch, 0 for none.
        tints: (B·P,) int64, its colour, 0 for none.
        places: (B·P, 6) float32, its box and point in shares of the image.
        texts: (question, completion), the same number for each picture, picture by picture.
    """

    patches: torch.Tensor
    kinds: torch.Tensor
    tints: torch.Tensor
    places: torch.Tensor
    texts: list[tuple[str, str]]


def make_lesson(
    frames: Frames,
    rng: np.random.Generator,
    batch: int,
    questions: int = 1,
    categories: Mapping[int, float] = ALL_CATEGORIES,
    thoughtful: float = 1.0,
) -> Lesson:
    """Draw a batch: random frames, half of them mirrored, with questions.

    Args:
        frames: To draw from.
        rng: Draws frames and questions.
        batch: B, the number of pictures.
        questions: For each picture.
        categories: Probability of each category.
        thoughtful: Share of the completions that think; the others' thought is empty.

    Returns:
        The batch.
    """
    patches: list[NDArray[np.float32]] = []
    kinds, tints, places, texts = [], [], [], []
    while len(patches) < batch:
        index = rng.integers(len(frames))
        rgb, ids = frames.picture(int(index))
        seen = frames.seen(int(index))
        if rng.random() < 0.5:
            rgb, ids = rgb[:, ::-1], ids[:, ::-1]
            seen = tuple(mirror(item) for item in seen)
        asked = [pick_question(seen, categories, rng) for _ in range(questions)]
        if None in asked:
            continue
        texts += [
            (question.text, completion(seen, question, _thinks(rng, thoughtful)))
            for question in asked
            if question
        ]
        patches.append(cut_patches(2 * vary_colours(rgb, rng) - 1))
        kind, tint, place = _patch_ground_truth(ids, seen)
        kinds.append(kind)
        tints.append(tint)
        places.append(place)
    return Lesson(
        patches=torch.from_numpy(np.concatenate(patches)),
        kinds=torch.from_numpy(np.concatenate(kinds)),
        tints=torch.from_numpy(np.concatenate(tints)),
        places=torch.from_numpy(np.concatenate(places)),
        texts=texts,
    )


def _thinks(rng: np.random.Generator, share: float) -> bool:
    # A share of 1 draws nothing: the lessons of the earlier stages stay what they were.
    return share >= 1 or rng.random() < share


def cut_patches(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a picture into patches as Qwen's image processor does.

    Patches that merge into one token are neighbours in the output. Within a patch the order is
    channel, time (the picture twice), row, column.

    Args:
        pixels: (S, S, 3) float32 in [-1, 1].

    Returns:
        (GRID², 1536) float32.
    """
    blocks = GRID // MERGE
    split = pixels.reshape(blocks, MERGE, PATCH, blocks, MERGE, PATCH, 3)  # (b, m, p, b, m, p, 3)
    rows = split.transpose(0, 3, 1, 4, 6, 2, 5)  # (b, b, m, m, 3, p, p)
    rows = rows.reshape(GRID**2, 3, 1, PATCH, PATCH)  # (P, 3, 1, p, p)
    return np.repeat(rows, 2, axis=2).reshape(GRID**2, -1)  # (P, 3, 2, p, p) -> (P, 1536)


def _patch_ground_truth(
    ids: NDArray[np.uint8], seen: tuple[SeenObject, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each patch, in the order of `cut_patches`, the object that covers most of it."""
    blocks = GRID // MERGE
    split = ids.reshape(blocks, MERGE, PATCH, blocks, MERGE, PATCH)  # (b, m, p, b, m, p)
    cells = split.transpose(0, 3, 1, 4, 2, 5).reshape(GRID**2, PATCH**2)  # (P, p²)
    most = np.zeros(GRID**2, int)
    owner = np.full(GRID**2, -1)
    for number, item in enumerate(seen):
        area = (cells == item.id).sum(1)  # (P,)
        owner[area > most] = number
        most = np.maximum(area, most)
    owner[most < PATCH**2 // 6] = -1
    kinds = np.array([SHAPES.index(item.shape) + 1 for item in seen] + [0])
    tints = np.array([list(COLOURS).index(item.colour) + 1 for item in seen] + [0])
    places = np.array([[*item.box, *item.point] for item in seen] + [[0.0] * 6], np.float32)
    return kinds[owner], tints[owner], places[owner]
