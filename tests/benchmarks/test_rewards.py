"""The benchmark of rewards: what it scores and what it says."""

import rewards

from segzero_train.rewards import REWARD_SETS


def test_completions_are_near_their_solutions() -> None:
    completions, solutions = rewards.step(16, 5)
    format_, accuracy, _ = REWARD_SETS["vision_reasoner"]
    assert format_(completions, solutions) == [3.0] * 16
    assert all(0 < value <= 3 for value in accuracy(completions, solutions))


def test_the_set_takes_as_long_as_its_rewards() -> None:
    taken = rewards.measure(1)
    names = ("format", "accuracy", "non_repeat")
    assert all(taken[name]["median"] > 0 for name in names)
    total = sum(taken[name]["median"] for name in names)
    assert abs(taken["vision_reasoner"]["median"] - total) < 0.03  # all are rounded
