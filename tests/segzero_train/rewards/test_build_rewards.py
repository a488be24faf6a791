import json
from dataclasses import replace
from typing import Any

import pytest

from segzero_train.errors import BadRecipe
from segzero_train.rewards import RENAMED, REWARD_SETS, RewardFunction, build_rewards
from tests.segzero_train.reward_texts import CONTEXT, answer, thing


def one(spec: str, **changes: Any) -> RewardFunction:
    """The reward of that name alone."""
    (function,), _ = build_rewards([spec], replace(CONTEXT, **changes))
    return function


def test_a_set_has_weight_one() -> None:
    functions, weights = build_rewards(["vision_reasoner"], CONTEXT)
    assert tuple(functions) == REWARD_SETS["vision_reasoner"]
    assert weights == [1.0, 1.0, 1.0]


def test_the_weight_of_a_set_goes_to_each_of_its_rewards() -> None:
    functions, weights = build_rewards(["vision_reasoner=2", "empty_answer = 0.5"], CONTEXT)
    names = [function.__name__ for function in functions]
    assert names == ["format", "accuracy", "non_repeat", "empty_answer"]
    assert weights == [2.0, 2.0, 2.0, 0.5]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_still_accepted(old: str, new: str) -> None:
    (function,), weights = build_rewards([f"{old}=3"], CONTEXT)
    assert (function.__name__, weights) == (new, [3.0])


def test_an_old_and_a_new_name_are_one_reward() -> None:
    with pytest.raises(BadRecipe, match="the reward empty_answer is named twice"):
        build_rewards(["empty_answer", "nothing_there"], CONTEXT)


def test_a_reward_of_a_set_can_stand_alone() -> None:
    assert one("accuracy") is REWARD_SETS["vision_reasoner"][1]
    assert one("thinking_format") is REWARD_SETS["seg_zero_soft"][0]


def test_rewards_that_differ_between_sets_are_named_with_their_set() -> None:
    assert one("seg_zero_strict.box_iou") is REWARD_SETS["seg_zero_strict"][2]
    with pytest.raises(BadRecipe, match=r"seg_zero_strict\.box_iou or seg_zero_soft\.box_iou"):
        one("box_iou")


@pytest.mark.parametrize("spec", ["", "vision", "vision_reasoner.box_iou", "=2", "no.format"])
def test_an_unknown_name_is_answered_with_what_there_is(spec: str) -> None:
    with pytest.raises(BadRecipe, match=r"unknown reward .* vision_reasoner .* mask_iou"):
        one(spec)


@pytest.mark.parametrize("weight", ["", "x", "nan", "inf", "-1", "1=2"])
def test_a_bad_weight_is_refused(weight: str) -> None:
    with pytest.raises(BadRecipe, match="weight"):
        one(f"empty_answer={weight}")


@pytest.mark.parametrize(
    "specs",
    [
        ["vision_reasoner", "vision_reasoner"],
        ["vision_reasoner", "accuracy=2"],
        ["seg_zero_strict", "seg_zero_soft"],
    ],
)
def test_one_name_for_two_rewards_is_refused(specs: list[str]) -> None:
    with pytest.raises(BadRecipe, match=rf"named twice.*{specs[1]}"):
        build_rewards(specs, CONTEXT)


def test_no_rewards_are_refused() -> None:
    with pytest.raises(BadRecipe, match="no rewards"):
        build_rewards([], CONTEXT)


def test_mask_iou_wants_a_segmenter() -> None:
    with pytest.raises(BadRecipe, match="segmenter"):
        one("mask_iou")


@pytest.mark.parametrize(
    ("completion", "solution", "expected"),
    [
        (answer([]), "[]", 1.0),
        (answer([thing(1, 1, 9, 9)]), json.dumps([thing(500, 500, 600, 600)]), 1.0),
        (answer([]), json.dumps([thing(1, 1, 9, 9)]), 0.0),
        (answer([thing(1, 1, 9, 9)]), "[]", 0.0),
        ("nothing", "[]", 0.0),
        (answer([{"bbox_2d": [1, 2, 3]}]), json.dumps([thing(1, 1, 9, 9)]), 0.0),
    ],
    ids=["both empty", "both something", "overlooked", "invented", "no answer", "malformed"],
)
def test_empty_answer(completion: str, solution: str, expected: float) -> None:
    assert one("empty_answer")([completion], [solution]) == [expected]


def test_empty_answer_reads_single_object_solutions() -> None:
    solution = "<box>(10,20),(30,40)</box><points>(15,25),(20,30)</points>"
    completion = (
        "<think></think><answer>{'bbox': [1,2,3,4], 'points_1': [1,2], 'points_2': [3,4]}</answer>"
    )
    format_ = replace(CONTEXT.completion_format, answer_format="seg_zero")
    reward = one("empty_answer", completion_format=format_)
    assert reward([completion, "<answer>[]</answer>"], [solution] * 2) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("words", "expected"), [(0, 1.0), (10, 1.0), (11, 0.9), (15, 0.5), (20, 0.0), (50, 0.0)]
)
def test_short_thinking_falls_from_the_limit_to_its_double(words: int, expected: float) -> None:
    completion = answer([], thinking="word " * words)
    assert one("short_thinking", thinking_words=10)([completion], ["[]"]) == [
        pytest.approx(expected)
    ]


@pytest.mark.parametrize(
    "completion", ["", "[]", "<answer>[]</answer>", "<think>so</think><answer>[</answer>"]
)
def test_short_thinking_pays_only_for_the_right_format(completion: str) -> None:
    assert one("short_thinking")([completion], ["[]"]) == [0.0]


def test_short_thinking_wants_a_limit() -> None:
    with pytest.raises(BadRecipe, match="thinking_words"):
        one("short_thinking", thinking_words=0)
