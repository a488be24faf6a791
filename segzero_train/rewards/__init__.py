"""Rewards for GRPO: the authors' three sets, and more, composed by `build_rewards`.

The sets, of which the last two need a RewardContext:

- `seg_zero_strict`, `seg_zero_soft`: one object, strict or soft about the answer's keys;
- `vision_reasoner`: any number of objects;
- `seg_zero_soft_accuracy`, `vision_reasoner_soft_accuracy`: without thresholds. The format is that
  of `seg_zero_soft` and of `vision_reasoner`.

Single rewards that need one: `mask_iou`, `empty_answer`, `short_thinking`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segzero.reasoning.completion_format import CompletionFormat
from segzero_train.errors import BadRecipe
from segzero_train.rewards import seg_zero, vision_reasoner
from segzero_train.rewards.base import RewardFunction
from segzero_train.rewards.context import RewardContext
from segzero_train.rewards.format import make_empty_answer, make_short_thinking
from segzero_train.rewards.mask_iou import make_mask_iou

__all__ = [
    "RENAMED",
    "REWARD_SETS",
    "RewardContext",
    "RewardFunction",
    "build_rewards",
    "check_rewards",
    "current_spec",
]

REWARD_SETS: Mapping[str, tuple[RewardFunction, ...]] = {
    "seg_zero_strict": seg_zero.STRICT,
    "seg_zero_soft": seg_zero.SOFT,
    "vision_reasoner": vision_reasoner.REWARDS,
}
_SINGLE: Mapping[str, Callable[[RewardContext], RewardFunction]] = {
    "mask_iou": make_mask_iou,
    "empty_answer": make_empty_answer,
    "short_thinking": make_short_thinking,
}
RENAMED: Mapping[str, str] = {"nothing_there": "empty_answer"}
"""Old names of rewards, which recipes may still use, to the new ones."""


def build_rewards(
    specs: Sequence[str], context: RewardContext
) -> tuple[list[RewardFunction], list[float]]:
    """Reward functions and their weights, as TRL's trainer takes them.

    Args:
        specs: `NAME` or `NAME=WEIGHT` (at least 0; 1 if left out), where NAME is a set, one reward
            of a set (`accuracy`, or `seg_zero_strict.box_iou` where sets differ), or a single
            reward. A set's weight goes to each of its rewards.
        context: What some rewards need to know.

    Returns:
        The functions, and a weight for each.

    Raises:
        BadRecipe: An unknown name, a bad weight, two rewards of one name, or none at all.
    """
    sets = _sets(context)
    weights: dict[str, float] = {}
    functions: list[RewardFunction] = []
    for spec in specs:
        name, equals, weight = current_spec(spec).partition("=")
        for function in _find(name, sets, context):
            if function.__name__ in weights:
                raise BadRecipe(
                    f"the reward {function.__name__} is named twice, the second time by {spec!r}: "
                    "leave one out"
                )
            functions.append(function)
            weights[function.__name__] = _weight(weight, spec) if equals else 1.0
    if not functions:
        raise BadRecipe(f"no rewards: name some of {_names(sets)}")
    return functions, list(weights.values())


def check_rewards(specs: Sequence[str], completion_format: CompletionFormat) -> None:
    """Raise BadRecipe as `build_rewards` does, before there is a segmenter or an image."""
    later: Any = object()  # is asked for masks only when completions are scored
    build_rewards(specs, RewardContext((1, 1), completion_format, later))


def current_spec(spec: str) -> str:
    """`NAME` or `NAME=WEIGHT` with the name that the reward has now."""
    name, equals, weight = spec.partition("=")
    return f"{RENAMED.get(name.strip(), name.strip())}{equals}{weight}"


def _sets(context: RewardContext) -> dict[str, tuple[RewardFunction, ...]]:
    side = context.longest_side
    format_, _, non_repeat = vision_reasoner.REWARDS
    return {
        **REWARD_SETS,
        "seg_zero_soft_accuracy": (*seg_zero.SOFT[:2], *seg_zero.soft_accuracy(side)),
        "vision_reasoner_soft_accuracy": (
            format_,
            vision_reasoner.soft_accuracy(side),
            non_repeat,
        ),
    }


def _find(
    name: str, sets: Mapping[str, tuple[RewardFunction, ...]], context: RewardContext
) -> tuple[RewardFunction, ...]:
    if name in sets:
        return sets[name]
    if name in _SINGLE:
        return (_SINGLE[name](context),)
    chosen, _, member = name.rpartition(".")
    found = {
        function: f"{key}.{member}"
        for key, functions in sets.items()
        for function in functions
        if function.__name__ == member and chosen in ("", key)
    }
    if not found:
        raise BadRecipe(f"unknown reward {name!r}; there are {_names(sets)}")
    if len(found) > 1:
        raise BadRecipe(
            f"the reward {name} differs between sets: write {' or '.join(found.values())}"
        )
    return tuple(found)


def _weight(text: str, spec: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise BadRecipe(f"the weight in {spec!r} must be a number of at least 0, such as 0.5")
    return weight


def _names(sets: Mapping[str, tuple[RewardFunction, ...]]) -> str:
    listed = [
        f"{key} ({', '.join(function.__name__ for function in functions)})"
        for key, functions in sets.items()
    ]
    return ", ".join([*listed, *_SINGLE])
