"""Rewards by rank within the completions of a question, whatever their scale.

Ranks in place of values are the fitness shaping of evolution strategies (arXiv 1106.4487, section
3.1): one outlier can't drown the others, and a reward that differs little still tells them apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from segzero_train.errors import BadData
from segzero_train.rewards.base import Completion, RewardFunction


def ranked(function: RewardFunction) -> RewardFunction:
    """A reward by its rank among the completions of the same question.

    Args:
        function: Gives the values to rank.

    Returns:
        A function named `ranked_…` with values in [0, 1]: 0 for the lowest, 1 for the highest.
        Equal values share the mean of their ranks; a completion alone gets 0.5. It reads the column
        `id` and raises BadData without one.
    """

    def reward(
        completions: Sequence[Completion], solution: Sequence[str], **columns: Any
    ) -> list[float]:
        if columns.get("id") is None:
            raise BadData(
                f"the dataset has no column id, which the reward {reward.__name__} needs to tell "
                f"questions apart: use another dataset or leave this reward out"
            )
        values = np.array(function(completions, solution, **columns), float)
        ids = np.array([str(name) for name in columns["id"]])
        ranks = np.full(len(values), 0.5)
        for name in set(ids.tolist()):
            group = ids == name
            if (size := int(group.sum())) > 1:
                ranks[group] = (rankdata(values[group]) - 1) / (size - 1)
        return ranks.tolist()

    reward.__name__ = reward.__qualname__ = f"ranked_{function.__name__}"
    reward.__doc__ = f"The rank of `{function.__name__}` among the completions of a question."
    return reward
