"""Whether a followed object is in the next frame: its score, and where it was before."""

from collections.abc import Sequence

import torch

_HYSTERESIS = 2.0
"""Presence changes only when the object score logit passes this, up or down."""
_CONTINUED_HYSTERESIS = 6.0
"""The same for an object whose mask continues that of the frame before: then it is hardly gone."""
_CONTINUED_IOU = 0.7
"""Least IoU of the masks of two frames for the later one to continue the earlier."""


def presence_bias(
    present: Sequence[bool], before: torch.Tensor | None, shown: torch.Tensor
) -> torch.Tensor:
    """What speaks for the presence of objects beside their scores.

    A score may fall for an object that only turned, or came before a dark background, while its
    mask still fits. Once it counts as absent the memory of absence keeps it so.

    Args:
        present: whether each of B objects was in the last frame.
        before: (B, h, w) bool, their masks in the last frame; None if there was none.
        shown: (B, h, w) bool, the masks of the next frame, as if all were in it.

    Returns:
        (B, 1) float32 to add to the object score logits; positive sums are present.
    """
    was = torch.tensor(present, device=shown.device)  # (B,)
    bias = torch.where(was, _HYSTERESIS, -_HYSTERESIS)
    if before is not None:
        both, either = (shown & before).flatten(1).sum(1), (shown | before).flatten(1).sum(1)
        continued = was & (both >= _CONTINUED_IOU * either) & (both > 0)
        bias = bias.masked_fill(continued, _CONTINUED_HYSTERESIS)
    return bias[:, None]
