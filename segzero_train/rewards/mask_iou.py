"""The IoU of the final mask as a reward; a frozen segmenter makes the mask of a completion."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import overlap
from segzero.segmentation.segmenter import Segmenter
from segzero.types import GroundedObject
from segzero_train.datasets.columns import row_image, row_mask, row_name
from segzero_train.errors import BadData, BadRecipe
from segzero_train.rewards.base import Completion, RewardFunction, completion_text
from segzero_train.rewards.context import RewardContext


def make_mask_iou(context: RewardContext) -> RewardFunction:
    """The reward `mask_iou`.

    Args:
        context: With a segmenter.

    Returns:
        The reward function.

    Raises:
        BadRecipe: There is no segmenter.
    """
    segmenter = context.segmenter
    if segmenter is None:
        raise BadRecipe("the reward mask_iou draws masks: name a segmenter in the recipe")

    def mask_iou(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """The IoU of all drawn objects with the row's mask, in [0, 1].

        Reads the columns `image` and `mask` (ids, of which 255 isn't counted) and raises BadData
        naming the row. 1 if both are empty; 0 for a malformed completion or a box outside the
        image. An image is encoded once, and equal objects on it are drawn once.
        """
        rows = _rows(columns, len(completions))
        images = [row_image(row) for row in rows]
        ground_truths = [_ground_truth(row, image) for row, image in zip(rows, images, strict=True)]
        placed = [
            context.placed(completion_text(completion), (image.shape[1], image.shape[0]))
            for completion, image in zip(completions, images, strict=True)
        ]
        rewards = [0.0] * len(rows)
        for alike in _same_image(images):
            image = images[alike[0]]
            masks = _draw(segmenter, image, [item for k in alike for item in placed[k] or ()])
            for k in alike:
                union = _union(masks, placed[k], image)
                rewards[k] = overlap(union, ground_truths[k]).iou
        return rewards

    return mask_iou


def _rows(columns: dict[str, Any], count: int) -> list[dict[str, Any]]:
    if missing := [key for key in ("image", "mask") if columns.get(key) is None]:
        raise BadData(
            f"the dataset has no column {' and no column '.join(missing)}, which the reward "
            "mask_iou needs: use another dataset or leave this reward out"
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


def _union(
    masks: dict[GroundedObject, NDArray[np.bool_]],
    objects: tuple[GroundedObject, ...] | None,
    image: NDArray[np.uint8],
) -> NDArray[np.bool_] | None:
    """Where any of the objects is, (H, W) bool; None without an answer."""
    if objects is None:
        return None
    union = np.zeros(image.shape[:2], bool)
    for item in objects:
        union |= masks[item]
    return union
