"""What an evaluation while training says of its questions, greedy or sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
        rewards: Each reward by its name, weighted.
    """

    id: str
    category: str
    question: str
    solution: str
    completion: str
    overlap: Overlap
    reward: float
    rewards: Mapping[str, float] = field(default_factory=dict)


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
        the same, which GRPO learns nothing from; `giou`: the mean over samples; `best_giou`: that
        of each question's best; `variance_of/<reward>`: see `variance_shares`; `n` questions.
    """
    groups = by_question(scored)
    passed = [item.overlap.iou > _SUCCESS for item in scored]
    found = [any(item.overlap.iou > _SUCCESS for item in group) for group in groups.values()]
    alike = [same_reward(group) for group in groups.values()]
    best = [max(item.overlap.iou for item in group) for group in groups.values()]
    return {
        "pass@1": float(np.mean(passed)),
        f"pass@{samples}": float(np.mean(found)),
        "zero_variance": float(np.mean(alike)),
        "giou": float(np.mean([item.overlap.iou for item in scored])),
        "best_giou": float(np.mean(best)),
        **{f"variance_of/{name}": share for name, share in variance_shares(scored).items()},
        "n": float(len(groups)),
    }


def by_question(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The samples of each question, by its id."""
    groups: dict[str, list[Scored]] = {}
    for item in scored:
        groups.setdefault(item.id, []).append(item)
    return groups


def same_reward(group: Sequence[Scored]) -> bool:
    """Whether all samples of a question earn the same, so that GRPO learns nothing from them."""
    return bool(np.ptp([item.reward for item in group]) < 1e-6)


def variance_shares(scored: Sequence[Scored]) -> dict[str, float]:
    """Which reward tells the samples of a question apart.

    Args:
        scored: All samples of some questions.

    Returns:
        For each reward its covariance with the total within the questions, divided by the total's
        variance; they sum to 1. Below 0 is a reward that falls where the total rises. Empty where
        no question's samples differ.
    """
    names = list(scored[0].rewards) if scored else []
    shared = dict.fromkeys(names, 0.0)
    whole = 0.0
    for group in by_question(scored).values():
        totals = np.array([item.reward for item in group])
        whole += float(((totals - totals.mean()) ** 2).sum())
        for name in names:
            values = np.array([item.rewards[name] for item in group])
            shared[name] += float(((values - values.mean()) * (totals - totals.mean())).sum())
    return {name: share / whole for name, share in shared.items()} if whole > 1e-9 else {}
