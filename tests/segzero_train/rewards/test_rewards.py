import json
import re
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from rewards import step

from segzero_train.rewards import REWARD_SETS, build_rewards
from tests.segzero_train.reward_texts import COMPLETIONS, CONTEXT, MULTI, SINGLE, answer, thing

HIGHEST = {
    **{"format": 3, "accuracy": 3, "soft_accuracy": 3},
    **{"box_list_format": 2, "point_list_format": 2, "box_accuracy": 2},
}
"""Of every other reward it is 1."""


def golden_key(name: str, keys: str) -> str:
    """What the golden file calls a single-object reward; keys: strict or soft."""
    names = {"thinking_format": "thinking_format", "answer_format": f"format_{keys}"}
    return names.get(name, f"{name}_{keys}_keys")


def test_there_are_500_golden_completions() -> None:
    assert (len(SINGLE), len(MULTI)) == (250, 250)


@pytest.mark.parametrize(
    ("name", "rewards"),
    [
        ("seg_zero_strict", "thinking_format answer_format box_iou box_l1 point_l1"),
        ("seg_zero_soft", "thinking_format answer_format box_iou box_l1 point_l1"),
        ("vision_reasoner", "format accuracy non_repeat"),
        ("seg_zero_no_thinking", "answer_only answer_format box_iou box_l1 point_l1"),
        ("seg_zero_box", "thinking_format box_format box_iou box_l1"),
        ("seg_zero_points", "thinking_format points_format points_alone_l1"),
        ("vision_reasoner_no_thinking", "format_no_thinking accuracy non_repeat"),
        ("vision_reasoner_box", "box_list_format box_accuracy non_repeat"),
        ("vision_reasoner_points", "point_list_format point_accuracy non_repeat"),
    ],
)
def test_a_set_holds_the_rewards_by_name(name: str, rewards: str) -> None:
    assert [function.__name__ for function in REWARD_SETS[name]] == rewards.split()


@pytest.mark.parametrize("keys", ["strict", "soft"])
@pytest.mark.parametrize("number", range(5))
def test_single_object_rewards_are_the_authors(keys: str, number: int) -> None:
    reward = REWARD_SETS[f"seg_zero_{keys}"][number]
    values = reward([case["completion"] for case in SINGLE], [case["solution"] for case in SINGLE])
    assert values == [case[golden_key(reward.__name__, keys)] for case in SINGLE]


@pytest.mark.parametrize("number", range(3))
def test_multi_object_rewards_are_the_authors(number: int) -> None:
    reward = REWARD_SETS["vision_reasoner"][number]
    values = reward([case["completion"] for case in MULTI], [case["solution"] for case in MULTI])
    assert values == [case[reward.__name__] for case in MULTI]


@pytest.mark.parametrize(
    ("name", "cases", "total"),
    [
        ("seg_zero_strict", SINGLE, "total_strict"),
        ("seg_zero_soft", SINGLE, "total_soft"),
        ("vision_reasoner", MULTI, "total"),
    ],
)
def test_totals_are_the_authors(name: str, cases: list[dict], total: str) -> None:
    completions, solutions = zip(*((c["completion"], c["solution"]) for c in cases), strict=True)
    columns = [reward(completions, solutions) for reward in REWARD_SETS[name]]
    assert [sum(values) for values in zip(*columns, strict=True)] == [case[total] for case in cases]


@pytest.mark.parametrize("name", [*REWARD_SETS, "seg_zero_soft_accuracy"])
def test_messages_give_what_their_text_gives(name: str) -> None:
    functions, _ = build_rewards([name], CONTEXT)
    cases = SINGLE[:60] + MULTI[:60]
    texts = [case["completion"] for case in cases]
    solutions = [case["solution"] for case in cases]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    parts = []
    for text in texts:
        first, last = ({"type": "text", "text": part} for part in (text[:9], text[9:]))
        parts.append([{"role": "assistant", "content": [first, {"type": "image"}, last]}])
    for reward in functions:
        assert reward(texts, solutions) == reward(messages, solutions) == reward(parts, solutions)


PARTS = {
    "seg_zero_box": "{'bbox': [100,100,199,199]}",
    "seg_zero_points": "{'points_1': [130,130], 'points_2': [170,170]}",
    "vision_reasoner_box": '[{"bbox_2d": [100,100,199,199]}]',
    "vision_reasoner_points": '[{"point_2d": [150,140]}]',
}
TRUTH = {
    "seg_zero": "<box>(100,100),(199,199)</box><points>(130,130),(170,170)</points>",
    "vision_reasoner": json.dumps([thing(100, 100, 199, 199)]),
}


def earned(name: str, body: str, thinking: str = "<think>so</think>") -> list[float]:
    text = f"{thinking}<answer>{body}</answer>".replace("'", '"')
    solution = TRUTH[next(key for key in TRUTH if name.startswith(key))]
    return [reward([text], [solution])[0] for reward in REWARD_SETS[name]]


@pytest.mark.parametrize(
    ("name", "right", "moved"),
    [
        ("seg_zero_box", [1, 1, 1, 1], [1, 1, 0, 0]),
        ("seg_zero_points", [1, 1, 1], [1, 1, 0]),
        ("vision_reasoner_box", [2, 2, 1], [2, 0, 1]),
        ("vision_reasoner_points", [2, 1, 1], [2, 0, 1]),
    ],
)
def test_a_right_part_alone_earns_everything_and_a_moved_one_its_form(
    name: str, right: list[int], moved: list[int]
) -> None:
    assert earned(name, PARTS[name]) == right
    assert earned(name, re.sub(r"\b1(?=\d)", "7", PARTS[name])) == moved


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("layout", TRUTH)
def test_a_part_beside_what_was_not_asked_for_loses_the_form(name: str, layout: str) -> None:
    both = {
        "seg_zero": "{'bbox': [1,1,9,9], 'points_1': [3,3], 'points_2': [7,7]}",
        "vision_reasoner": "[]",
    }[layout]
    assert sum(earned(name, both)) < sum(earned(name, PARTS[name]))


@pytest.mark.parametrize("layout", TRUTH)
@pytest.mark.parametrize("thinking", ["<think>so</think>", "so ", "<answer></answer>"])
def test_without_thinking_only_the_answer_alone_earns_the_form(layout: str, thinking: str) -> None:
    name, objects = f"{layout}_no_thinking", TRUTH["vision_reasoner"]
    if layout == "seg_zero":
        objects = "{'bbox': [100,100,199,199], 'points_1': [130,130], 'points_2': [170,170]}"
    alone, beside = earned(name, objects, ""), earned(name, objects, thinking)
    assert sum(alone) == {"seg_zero": 5, "vision_reasoner": 7}[layout]
    assert beside[0] <= alone[0] - 1


@given(COMPLETIONS)
def test_no_completion_raises_or_leaves_the_range(text: str) -> None:
    cases = [
        ("seg_zero_strict", SINGLE[0]["solution"]),
        ("seg_zero_soft", SINGLE[0]["solution"]),
        ("seg_zero_soft_accuracy", SINGLE[0]["solution"]),
        ("vision_reasoner", MULTI[1]["solution"]),
        *((name, TRUTH[name.partition("_box")[0].partition("_points")[0]]) for name in PARTS),
        ("vision_reasoner_soft_accuracy", MULTI[1]["solution"]),
        ("empty_answer", "[]"),
        ("short_thinking", "[]"),
    ]
    for name, solution in cases:
        for reward in build_rewards([name], CONTEXT)[0]:
            (value,) = reward([text], [solution])
            highest = HIGHEST.get(reward.__name__, 1)
            assert type(value) is float
            assert -1e-9 <= value <= highest + 1e-9, reward.__name__
            assert [value] == reward([[{"role": "assistant", "content": text}]], [solution])


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" + " " * 1_000_000,
        "<think>" + "</think> <answer>" * 100_000,
        "<think></think>" + " " * 1_000_000,
        "{" * 1_000_000,
        "{}" * 500_000,
        "<think></think><answer>" + "[" * 1_000_000 + "</answer>",
        "<answer>[" + "9" * 100_000 + "]</answer>",
    ],
    ids=["blanks", "tags", "gap", "braces", "empty", "nested", "number"],
)
def test_a_degenerate_completion_takes_linear_time(text: str) -> None:
    """A bound against hanging: these take milliseconds, and minutes if read in quadratic time."""
    names = ["seg_zero_strict", "vision_reasoner", "empty_answer", "short_thinking"]
    functions, _ = build_rewards(names, CONTEXT)
    start = time.process_time()
    for reward in functions:
        reward([text], ["[]"])
    assert time.process_time() - start < 30


def test_the_matching_ignores_the_order() -> None:
    _, accuracy, _ = REWARD_SETS["vision_reasoner"]
    objects = [thing(10, 10, 60, 50), thing(200, 100, 300, 180), thing(500, 20, 560, 90)]
    assert accuracy([answer(objects[::-1])], [json.dumps(objects)]) == [3.0]


@pytest.mark.parametrize(("said", "expected"), [(1, 1.0), (3, 3.0), (6, 1.5)])
def test_missing_and_invented_objects_cost(said: int, expected: float) -> None:
    _, accuracy, _ = REWARD_SETS["vision_reasoner"]
    objects = [thing(100 * k, 10, 100 * k + 50, 50) for k in range(6)]
    assert accuracy([answer(objects[:said])], [json.dumps(objects[:3])]) == [expected]


def test_only_the_first_120_objects_count() -> None:
    _, accuracy, _ = REWARD_SETS["vision_reasoner"]
    objects = [thing(200 * k, 10, 200 * k + 50, 50) for k in range(121)]
    assert accuracy([answer(objects)], [json.dumps(objects)]) == [3.0]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 40])
def test_numbers_beyond_all_measure_earn_nothing(number: str) -> None:
    _, accuracy, _ = REWARD_SETS["vision_reasoner"]
    text = answer([{"bbox_2d": [10, 10, 60, 50], "point_2d": [900, 9]}])
    text = text.replace("60, 50", f"{number}, {number}")
    assert accuracy([text], [json.dumps([thing(9, 9, 60, 50)])]) == [0.0]


def calls(count: int, objects: int) -> int:
    """Function calls, of Python and of C, in which the set scores so many completions."""
    completions, solutions = step(count, objects)
    counted = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        values = [reward(completions, solutions) for reward in REWARD_SETS["vision_reasoner"]]
    finally:
        sys.setprofile(before)
    assert all(max(rewards) > 0 for rewards in values)
    return counted


def test_twice_the_completions_take_twice_the_calls() -> None:
    assert 1.5 < calls(64, 20) / calls(32, 20) < 2.5


def test_pairs_of_objects_are_compared_in_one_call() -> None:
    """Twice the objects make four times the pairs."""
    assert calls(32, 40) / calls(32, 20) < 2.5
