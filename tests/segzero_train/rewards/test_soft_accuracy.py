import json
from dataclasses import replace

import pytest

from segzero_train.rewards import REWARD_SETS, RewardContext, build_rewards
from tests.segzero_train.reward_texts import CONTEXT, answer, thing

SOLUTION = "<box>(100,100),(199,199)</box><points>(130,130),(170,170)</points>"


def values(spec: str, text: str, solution: str, context: RewardContext = CONTEXT) -> dict:
    """Each reward of the set by its name."""
    functions, _ = build_rewards([spec], context)
    return {function.__name__: function([text], [solution])[0] for function in functions}


def single(box: list[float], first: list[float], second: list[float]) -> str:
    body = json.dumps({"bbox": box, "points_1": first, "points_2": second})
    return f"<think></think><answer>{body}</answer>"


def test_the_right_answer_earns_everything() -> None:
    text = single([100, 100, 199, 199], [170, 170], [130, 130])
    assert set(values("seg_zero_soft_accuracy", text, SOLUTION).values()) == {1.0}
    objects = [thing(10, 10, 60, 50), thing(200, 100, 300, 180)]
    found = values("vision_reasoner_soft_accuracy", answer(objects[::-1]), json.dumps(objects))
    assert found == {"format": 3.0, "soft_accuracy": 3.0, "non_repeat": 1.0}


def test_single_object_rewards_fall_with_the_error() -> None:
    text = single([100, 100, 199, 149], [130, 130], [170, 149])
    found = values("seg_zero_soft_accuracy", text, SOLUTION)
    assert found["soft_box_iou"] == pytest.approx(0.5)
    assert found["soft_box_l1"] == pytest.approx(1 - 12.5 / 840)
    assert found["soft_point_l1"] == pytest.approx(1 - 10.5 / 840)


def test_points_outside_the_answered_box_earn_nothing() -> None:
    text = single([100, 100, 140, 140], [130, 130], [170, 170])
    assert values("seg_zero_soft_accuracy", text, SOLUTION)["soft_point_l1"] == 0.0


def test_multi_object_reward_falls_with_the_error() -> None:
    ground_truth = {"bbox_2d": [100, 100, 199, 199], "point_2d": [150, 120]}
    said = {"bbox_2d": [100, 100, 199, 149], "point_2d": [150, 141]}
    found = values("vision_reasoner_soft_accuracy", answer([said]), json.dumps([ground_truth]))
    assert found["soft_accuracy"] == pytest.approx(0.5 + (1 - 12.5 / 840) + (1 - 21 / 840))


def test_missing_objects_cost() -> None:
    objects = [thing(10, 10, 60, 50), thing(200, 100, 300, 180)]
    found = values("vision_reasoner_soft_accuracy", answer(objects[:1]), json.dumps(objects))
    assert found["soft_accuracy"] == pytest.approx(1.5)


def test_the_side_is_counted_in_the_units_of_the_model() -> None:
    context = replace(
        CONTEXT,
        completion_format=replace(CONTEXT.completion_format, coordinates="relative_1000"),
    )
    text = single([100, 100, 199, 149], [130, 130], [170, 170])
    found = values("seg_zero_soft_accuracy", text, SOLUTION, context)
    assert found["soft_box_l1"] == pytest.approx(1 - 12.5 / 1000)


def test_the_format_is_that_of_the_hard_set() -> None:
    for soft, hard in [
        ("seg_zero_soft_accuracy", "seg_zero_soft"),
        ("vision_reasoner_soft_accuracy", "vision_reasoner"),
    ]:
        functions, _ = build_rewards([soft], CONTEXT)
        kept = [function for function in functions if not function.__name__.startswith("soft_")]
        assert set(kept) < set(REWARD_SETS[hard])
