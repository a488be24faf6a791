"""What an evaluation while training says of its questions, greedy or sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segzero.metrics import Overlap, bootstrap, summarize

_SUCCESS = 0.5
"""The IoU that a sample must exceed to count as right, as in box and mask precision."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One held-out question.

    Attributes:
        id: The row's.
        category: The row's.
        question: The row's.
        solution: The true answer, in the coordinates that the model writes.
        completion: The text that the model wrote.
        overlap: Of its masks with the true ones.
        reward: The weighted sum of all rewards.
    """

    id: str
    category: str
    question: str
    solution: str
    completion: str
    overlap: Overlap
    reward: float


def summary(scored: Sequence[Scored]) -> dict[str, float]:
    """`giou` (convention lisa) and mean `reward`, with their 95 % intervals `_low` and `_high`."""
    giou = summarize([item.overlap for item in scored], "lisa").giou
    rewards = np.array([item.reward for item in scored])
    reward = bootstrap(lambda pick: float(rewards[pick].mean()), len(rewards))
    return {
        "giou": giou.value,
        "giou_low": giou.low,
        "giou_high": giou.high,
        "reward": reward.value,
        "reward_low": reward.low,
        "reward_high": reward.high,
        "malformed": float(np.mean([item.overlap.failed for item in scored])),
        "n": float(len(scored)),
    }


def sampled_summary(scored: Sequence[Scored], samples: int) -> dict[str, float]:
    """Whether there is anything to learn from samples.

    Args:
        scored: All samples of some questions.
        samples: Of each question.

    Returns:
        `pass@1` and `pass@<samples>`: the share of samples whose IoU exceeds 0.5, and that of
        questions with such a sample; `zero_variance`: the share of questions whose samples all earn
        the same, which GRPO learns nothing from; `giou`: the mean over samples; `n` questions.
    """
    groups: dict[str, list[Scored]] = {}
    for item in scored:
        groups.setdefault(item.id, []).append(item)
    passed = [item.overlap.iou > _SUCCESS for item in scored]
    found = [any(item.overlap.iou > _SUCCESS for item in group) for group in groups.values()]
    alike = [np.ptp([item.reward for item in group]) < 1e-6 for group in groups.values()]
    return {
        "pass@1": float(np.mean(passed)),
        f"pass@{samples}": float(np.mean(found)),
        "zero_variance": float(np.mean(alike)),
        "giou": float(np.mean([item.overlap.iou for item in scored])),
        "n": float(len(groups)),
    }
