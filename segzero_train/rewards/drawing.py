"""The masks that a frozen segmenter draws of completions, for the rewards that compare masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.segmentation.segmenter import Segmenter
from segzero.types import GroundedObject
from segzero_train.datasets.columns import row_image, row_mask, row_name
from segzero_train.errors import BadData, BadRecipe
from segzero_train.rewards.base import Completion, completion_text
from segzero_train.rewards.context import RewardContext


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A completion's objects as masks, beside the true ones.

    Attributes:
        masks: (H, W) bool for each object of the answer, in its order; None if it is malformed or
            has a box outside the image.
        ground_truth: (H, W) uint8: 0 background, k object k, 255 not counted.
    """

    masks: tuple[NDArray[np.bool_], ...] | None
    ground_truth: NDArray[np.uint8]


def require_segmenter(context: RewardContext, name: str) -> Segmenter:
    """The context's segmenter; raises BadRecipe, naming the reward, if there is none."""
    if context.segmenter is None:
        raise BadRecipe(f"the reward {name} draws masks: name a segmenter in the recipe")
    return context.segmenter


def draw(
    context: RewardContext, name: str, completions: Sequence[Completion], columns: dict[str, Any]
) -> list[Drawn]:
    """Draw completions. An image is encoded once, and equal objects on it are drawn once.

    Args:
        context: With a segmenter.
        name: The reward, for errors.
        completions: The completions of a step.
        columns: Those of the dataset, a value for each completion, with `image` and `mask`.

    Returns:
        As many as there are completions.

    Raises:
        BadData: A column is missing, or a row's image or mask can't be used; the message names it.
    """
    segmenter = require_segmenter(context, name)
    rows = _rows(columns, len(completions), name)
    images = [row_image(row) for row in rows]
    ground_truths = [_ground_truth(row, image) for row, image in zip(rows, images, strict=True)]
    placed = [
        context.placed(completion_text(completion), (image.shape[1], image.shape[0]))
        for completion, image in zip(completions, images, strict=True)
    ]
    drawn: list[Drawn | None] = [None] * len(rows)
    for alike in _same_image(images):
        masks = _draw(
            segmenter, images[alike[0]], [item for k in alike for item in placed[k] or ()]
        )
        for k in alike:
            objects = placed[k]
            answer = None if objects is None else tuple(masks[item] for item in objects)
            drawn[k] = Drawn(answer, ground_truths[k])
    return [item for item in drawn if item is not None]


def _rows(columns: dict[str, Any], count: int, name: str) -> list[dict[str, Any]]:
    if missing := [key for key in ("image", "mask") if columns.get(key) is None]:
        raise BadData(
            f"the dataset has no column {' and no column '.join(missing)}, which the reward "
            f"{name} needs: use another dataset or leave this reward out"
        )
    kept = [key for key in ("id", "image", "mask") if key in columns]
    return [{key: columns[key][k] for key in kept} for k in range(count)]


def _ground_truth(row: dict[str, Any], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mask = row_mask(row)
    if mask.shape != image.shape[:2]:
        raise BadData(
            f"row {row_name(row)}: the mask is {mask.shape[1]}x{mask.shape[0]} pixels, the image "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    return mask


def _same_image(images: Sequence[NDArray[np.uint8]]) -> Iterator[list[int]]:
    """Indices of equal images together. The generations of a prompt hold copies of one image."""
    groups: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault((image.shape, image.tobytes()), []).append(index)
    yield from groups.values()


def _draw(
    segmenter: Segmenter, image: NDArray[np.uint8], objects: Sequence[GroundedObject]
) -> dict[GroundedObject, NDArray[np.bool_]]:
    distinct = list(dict.fromkeys(objects))
    if not distinct:
        return {}
    drawn = segmenter.segment(image, distinct)
    return {item: mask for item, (mask, _) in zip(distinct, drawn, strict=True)}
