"""The IoU of the final mask as a reward; a frozen segmenter makes the mask of a completion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import overlap
from segzero_train.rewards.base import Completion, RewardFunction
from segzero_train.rewards.context import RewardContext
from segzero_train.rewards.drawing import Drawn, draw, require_segmenter


def make_mask_iou(context: RewardContext) -> RewardFunction:
    """The reward `mask_iou`.

    Args:
        context: With a segmenter.

    Returns:
        The reward function.

    Raises:
        BadRecipe: There is no segmenter.
    """
    require_segmenter(context, "mask_iou")

    def mask_iou(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        """The IoU of all drawn objects with the row's mask, in [0, 1].

        Reads the columns `image` and `mask` (ids, of which 255 isn't counted) and raises BadData
        naming the row. 1 if both are empty; 0 for a malformed completion or a box outside the
        image.
        """
        drawn = draw(context, "mask_iou", completions, columns)
        return [overlap(_union(item), item.ground_truth).iou for item in drawn]

    return mask_iou


def _union(drawn: Drawn) -> NDArray[np.bool_] | None:
    """Where any of the objects is, (H, W) bool; None without an answer."""
    if drawn.masks is None:
        return None
    return np.logical_or.reduce([np.zeros(drawn.ground_truth.shape, bool), *drawn.masks])
