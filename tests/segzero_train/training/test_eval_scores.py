"""pass@k and the share of questions that teach nothing, from samples of held-out questions."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segzero.metrics import Overlap
from segzero_train import grpo
from segzero_train.training.eval_scores import Scored, sampled_summary, variance_shares
from tests.segzero_train.tiny_runs import words


def sample(question: str, iou: float, reward: float) -> Scored:
    overlap = Overlap(round(100 * iou), 100)
    return Scored(question, "all", question, "[]", "", overlap, reward)


@pytest.mark.parametrize(
    ("ious", "once", "ever"),
    [
        ({"a": [0.9, 0.9], "b": [0.6, 0.8]}, 1.0, 1.0),
        ({"a": [0.9, 0.1], "b": [0.2, 0.5]}, 0.25, 0.5),
        ({"a": [0.0, 0.5], "b": [0.2, 0.5]}, 0.0, 0.0),
    ],
)
def test_a_question_passes_if_one_of_its_samples_does(
    ious: dict[str, list[float]], once: float, ever: float
) -> None:
    found = sampled_summary([sample(q, iou, iou) for q, both in ious.items() for iou in both], 2)
    assert (found["pass@1"], found["pass@2"], found["n"]) == (once, ever, 2)


@pytest.mark.parametrize(
    ("rewards", "share"),
    [([1.0, 1.0, 2.0, 2.0], 1.0), ([1.0, 1.5, 2.0, 2.0], 0.5), ([1.0, 1.5, 2.0, 0.0], 0.0)],
)
def test_questions_whose_samples_all_earn_the_same_teach_nothing(
    rewards: list[float], share: float
) -> None:
    scored = [sample(q, 0.1, reward) for q, reward in zip("aabb", rewards, strict=True)]
    assert sampled_summary(scored, 2)["zero_variance"] == share


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        ([0.0, 1.0], [1.0, 1.0], {"first": 1.0, "second": 0.0}),
        ([0.0, 1.0], [0.0, 3.0], {"first": 0.25, "second": 0.75}),
        ([0.0, 1.0], [4.0, 0.0], {"first": -1 / 3, "second": 4 / 3}),
        ([1.0, 1.0], [2.0, 2.0], {}),
    ],
)
def test_shares_of_variance_say_which_reward_tells_samples_apart(
    first: list[float], second: list[float], shares: dict[str, float]
) -> None:
    scored = [
        replace(sample("a", 0.1, one + two), rewards={"first": one, "second": two})
        for one, two in zip(first, second, strict=True)
    ]
    assert variance_shares(scored) == pytest.approx(shares)


@pytest.mark.slow
def test_an_evaluation_samples_beside_its_greedy_answers(
    qwen2_5_vl: Path, table: Path, tmp_path: Path
) -> None:
    held_out = {"held_out_size": 3, "held_out_every": 9, "held_out_batch": 4}
    found: dict[int, dict[str, Any]] = {}
    for samples in (0, 4):
        run = tmp_path / str(samples)
        assert grpo.main(words(qwen2_5_vl, table, run, held_out_samples=samples, **held_out)) == 0
        found[samples] = json.loads((run / "greedy" / "000001.json").read_text())
    sampled = found[4].pop("sampled")
    shares = {key for key in sampled if key.startswith("variance_of/")}
    names = {"pass@1", "pass@4", "zero_variance", "giou", "best_giou", "n"}
    assert set(sampled) - shares == names
    assert sampled["n"] == 3
    assert found[0].pop("sampled") == {}
    # The training goes on with the random numbers that it would have drawn anyway.
    assert found[0] == found[4]
