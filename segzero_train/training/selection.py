"""Train on the best and the worst of many completions, as StAR's second stage does.

Many samples of a hard question hold some good ones; few of them carry the gradient. Of each group
the upper and the lower half of `kept` stay (arXiv 2603.14382; github.com/ysj9909/StAR,
`verl/trainer/ray_trainer.py`, "Selective Rollout").
"""

from typing import Any

import torch
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

_EPSILON = 1e-4
"""As TRL divides by a group's standard deviation."""


def extremes(advantages: torch.Tensor, group: int, kept: int) -> torch.Tensor:
    """Which completions stay.

    Args:
        advantages: (B,) of whole groups, one after the other.
        group: Completions of a question.
        kept: How many of them stay; half of them, rounded down, are the best.

    Returns:
        (B / group * kept,) indices, rising. A completion is never both.
    """
    order = advantages.view(-1, group).argsort(dim=1, stable=True)  # (groups, group), rising
    best = kept // 2
    chosen = torch.cat([order[:, : kept - best], order[:, group - best :]], dim=1)
    starts = torch.arange(0, len(advantages), group, device=advantages.device)[:, None]
    return (chosen + starts).flatten().sort().values


def keep_extremes(
    inputs: dict[str, Any], group: int, kept: int, scale: bool = True
) -> dict[str, Any]:
    """A rollout with the extremes of each group alone, compared with each other.

    Args:
        inputs: As `GRPOTrainer._generate_and_score_completions` returns it, of whole groups.
        group: Completions of a question.
        kept: How many of them stay.
        scale: Divide by their standard deviation, as TRL's `scale_rewards: group`.

    Returns:
        The same keys for fewer rows; `num_items_in_batch` is left as it is.
    """
    advantages = inputs["advantages"]
    rows = extremes(advantages, group, kept)
    picked = select_rows(inputs, rows, len(advantages))
    groups = advantages[rows].view(-1, kept)
    centred = groups - groups.mean(1, keepdim=True)
    if scale:
        centred = centred / (groups.std(1, keepdim=True) + _EPSILON)
    return {**picked, "advantages": centred.flatten()}


def select_rows(inputs: dict[str, Any], rows: torch.Tensor, count: int) -> dict[str, Any]:
    """Some rows of a batch, with their pictures.

    Args:
        inputs: Tensors and lists of `count` rows, `pixel_values` by patches; other things stay.
        rows: (N,) which ones.
        count: Rows of the batch.

    Returns:
        The same keys.
    """
    split = split_pixel_values_by_grid(inputs)
    return unsplit_pixel_values_by_grid(
        {key: _pick(value, rows, count) for key, value in split.items()}
    )


def _pick(value: Any, rows: torch.Tensor, count: int) -> Any:
    if isinstance(value, torch.Tensor):
        return value[rows] if value.ndim and len(value) == count else value
    return [value[row] for row in rows.tolist()] if isinstance(value, list) else value
