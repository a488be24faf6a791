"""Rewards for GRPO: the authors' three sets, and more, composed by `build_rewards`.

The sets, of which those with `soft_accuracy` and `star` need a RewardContext:

- `seg_zero_strict`, `seg_zero_soft`: one object, strict or soft about the answer's keys;
- `vision_reasoner`: any number of objects;
- `seg_zero_soft_accuracy`, `vision_reasoner_soft_accuracy`: without thresholds. The format is that
  of `seg_zero_soft` and of `vision_reasoner`;
- `…_no_thinking`, `…_box`, `…_points` after `seg_zero` and `vision_reasoner`: for answers without
  thinking, with a box only, with points only;
- `star`, `star_stage2`: `vision_reasoner` with the masks in its accuracy, as StAR has it.

Single rewards that need one: those of `NEED_MASKS`, `empty_answer`, `no_target`, `short_thinking`
and `overlong`. `ranked.NAME` is a single reward by its rank among the completions of a question.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from segzero.reasoning.answers import AnswerFormat
from segzero_train.errors import BadRecipe
from segzero_train.rewards import seg_zero, vision_reasoner
from segzero_train.rewards.base import RewardFunction
from segzero_train.rewards.context import RewardContext
from segzero_train.rewards.format import (
    make_empty_answer,
    make_no_target,
    make_overlong,
    make_short_thinking,
)
from segzero_train.rewards.mask_iou import make_mask_iou
from segzero_train.rewards.matched_masks import (
    make_mask_iou_steps,
    make_matched_mask_iou,
    make_star_accuracy,
    make_star_stage2_accuracy,
)
from segzero_train.rewards.ranked import ranked

__all__ = [
    "NEED_MASKS",
    "READ_FORMATS",
    "RENAMED",
    "REWARD_SETS",
    "RewardContext",
    "RewardFunction",
    "build_rewards",
    "check_rewards",
    "current_spec",
    "needs_masks",
]

REWARD_SETS: Mapping[str, tuple[RewardFunction, ...]] = {
    "seg_zero_strict": seg_zero.STRICT,
    "seg_zero_soft": seg_zero.SOFT,
    "vision_reasoner": vision_reasoner.REWARDS,
    "seg_zero_no_thinking": seg_zero.NO_THINKING,
    "seg_zero_box": seg_zero.BOX,
    "seg_zero_points": seg_zero.POINTS,
    "vision_reasoner_no_thinking": vision_reasoner.NO_THINKING,
    "vision_reasoner_box": vision_reasoner.BOX,
    "vision_reasoner_points": vision_reasoner.POINTS,
}
READ_FORMATS: Mapping[str, AnswerFormat] = {
    **dict.fromkeys(("seg_zero_strict", "seg_zero_soft", "seg_zero_soft_accuracy"), "seg_zero"),
    "seg_zero_no_thinking": "seg_zero",
    "seg_zero_box": "seg_zero_box",
    "seg_zero_points": "seg_zero_points",
    **dict.fromkeys(("vision_reasoner", "vision_reasoner_soft_accuracy"), "vision_reasoner"),
    "vision_reasoner_no_thinking": "vision_reasoner",
    "vision_reasoner_box": "vision_reasoner_box",
    "vision_reasoner_points": "vision_reasoner_points",
    **dict.fromkeys(("star", "star_stage2"), "vision_reasoner"),
}
"""The answer format that each set reads."""
_FROM_MASKS: Mapping[str, Callable[[RewardContext], RewardFunction]] = {
    "mask_iou": make_mask_iou,
    "matched_mask_iou": make_matched_mask_iou,
    "mask_iou_steps": make_mask_iou_steps,
    "star_accuracy": make_star_accuracy,
    "star_stage2_accuracy": make_star_stage2_accuracy,
}
_SINGLE: Mapping[str, Callable[[RewardContext], RewardFunction]] = {
    **_FROM_MASKS,
    "empty_answer": make_empty_answer,
    "no_target": make_no_target,
    "overlong": make_overlong,
    "short_thinking": make_short_thinking,
}
_STAR: Mapping[str, str] = {"star": "star_accuracy", "star_stage2": "star_stage2_accuracy"}
"""Sets, and the accuracy that stands between VisionReasoner's other two."""
_RANKED = "ranked."
NEED_MASKS: frozenset[str] = frozenset({*_FROM_MASKS, *_STAR})
"""Rewards and sets that draw masks and compare them with the column `mask`."""
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


def check_rewards(specs: Sequence[str], context: RewardContext) -> None:
    """Raise BadRecipe as `build_rewards` does, before there is a segmenter or an image."""
    later: Any = object()  # is asked for masks only when completions are scored
    build_rewards(specs, replace(context, segmenter=later))


def needs_masks(spec: str) -> bool:
    """Whether a `NAME` or `NAME=WEIGHT` names something of `NEED_MASKS`."""
    return spec.partition("=")[0].strip().removeprefix(_RANKED) in NEED_MASKS


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
    if name.startswith(_RANKED):
        found = _find(name.removeprefix(_RANKED), sets, context)
        if len(found) > 1:
            raise BadRecipe(f"{name}: a set has no rank; name one reward after {_RANKED}")
        return (ranked(found[0]),)
    if name in sets:
        return sets[name]
    if name in _STAR:
        format_, _, non_repeat = vision_reasoner.REWARDS
        return format_, _FROM_MASKS[_STAR[name]](context), non_repeat
    if name in _SINGLE:
        return (_SINGLE[name](context),)
    chosen, _, member = name.rpartition(".")
    members: dict[RewardFunction, str] = {}
    for key, functions in sets.items():
        for function in functions:
            if function.__name__ == member and chosen in ("", key):
                members.setdefault(function, f"{key}.{member}")
    if not members:
        raise BadRecipe(f"unknown reward {name!r}; there are {_names(sets)}")
    if len(members) > 1:
        raise BadRecipe(
            f"the reward {name} differs between sets: write {' or '.join(members.values())}"
        )
    return tuple(members)


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
    return ", ".join([*listed, *_STAR, *_SINGLE, f"{_RANKED}NAME"])
