import json
from dataclasses import replace
from typing import Any

import pytest

from segzero_train.errors import BadData, BadRecipe
from segzero_train.rewards import (
    NEED_MASKS,
    RENAMED,
    REWARD_SETS,
    RewardFunction,
    build_rewards,
    needs_masks,
)
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


@pytest.mark.parametrize(
    ("completion", "solution", "expected"),
    [
        (answer([]), "[]", 1.0),
        (answer([thing(1, 1, 9, 9)]), "[]", 0.0),
        (answer([]), json.dumps([thing(1, 1, 9, 9)]), 0.0),
        (answer([thing(1, 1, 9, 9)]), json.dumps([thing(1, 1, 9, 9)]), 0.0),
        ("nothing", "[]", 0.0),
    ],
    ids=["rightly empty", "invented", "overlooked", "found", "malformed"],
)
def test_no_target_pays_only_where_nothing_matches(
    completion: str, solution: str, expected: float
) -> None:
    assert one("no_target")([completion], [solution]) == [expected]


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 0.0), (60, 0.0), (70, -0.25), (80, -0.5), (100, -1.0), (120, -1.0)]
)
def test_overlong_falls_to_minus_one_at_the_longest_completion(
    tokens: int, expected: float
) -> None:
    reward = one("overlong", max_completion_length=100, overlong_tokens=40)
    assert reward([""], ["[]"], completion_ids=[[7] * tokens]) == [pytest.approx(expected)]


def test_overlong_without_tokens_costs_nothing() -> None:
    assert one("overlong")(["", ""], ["[]"] * 2) == [0.0, 0.0]


@pytest.mark.parametrize("margin", [0, -1, 101])
def test_overlong_wants_a_margin_within_the_completion(margin: int) -> None:
    with pytest.raises(BadRecipe, match=rf"overlong_tokens must be from 1 .*\(100\), not {margin}"):
        one("overlong", max_completion_length=100, overlong_tokens=margin)


def test_a_ranked_reward_tells_only_the_order_within_a_question() -> None:
    reward = one("ranked.short_thinking")
    assert reward.__name__ == "ranked_short_thinking"
    words = [19, 11, 15, 15, 12, 14]
    completions = [answer([], thinking="word " * count) for count in words]
    ids = ["a", "a", "a", "a", "b", "b"]
    assert reward(completions, ["[]"] * 6, id=ids) == [0.0, 1.0, 0.5, 0.5, 1.0, 0.0]


def test_completions_of_equal_value_have_equal_ranks() -> None:
    values = one("ranked.empty_answer")([answer([])] * 3, ["[]"] * 3, id=["a", "a", "b"])
    assert values == [0.5, 0.5, 0.5]


def test_ranks_need_the_id_of_the_question() -> None:
    with pytest.raises(BadData, match="no column id, which the reward ranked_empty_answer needs"):
        one("ranked.empty_answer")([answer([])], ["[]"])


@pytest.mark.parametrize("spec", ["ranked.vision_reasoner", "ranked.star", "ranked.seg_zero_soft"])
def test_a_set_has_no_rank(spec: str) -> None:
    with pytest.raises(BadRecipe, match="a set has no rank"):
        one(spec, segmenter=object())


@pytest.mark.parametrize("spec", sorted(NEED_MASKS))
def test_what_draws_masks_is_known_and_wants_a_segmenter(spec: str) -> None:
    assert needs_masks(spec) and needs_masks(f"ranked.{spec} = 2")
    with pytest.raises(BadRecipe, match="segmenter"):
        build_rewards([spec], CONTEXT)


@pytest.mark.parametrize("spec", ["vision_reasoner", "empty_answer=2", "no_target", "overlong"])
def test_other_rewards_draw_nothing(spec: str) -> None:
    assert not needs_masks(spec)
