import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segzero.metrics import Overlap
from segzero.pipeline import SegZero
from segzero_train import grpo
from segzero_train.datasets.columns import row_to_sample
from segzero_train.datasets.loading import load_rows
from segzero_train.evaluation.scores import report
from segzero_train.evaluation.scoring import evaluate
from segzero_train.grpo import build_trainer
from segzero_train.rewards import REWARD_SETS
from segzero_train.training.eval_callback import GreedyEvaluation
from segzero_train.training.eval_scores import Scored, summary
from tests.segzero_train.tiny_runs import logged, recipe, words


def evaluated(run: Path, step: int) -> dict[str, Any]:
    return json.loads((run / "greedy" / f"{step:06d}.json").read_text())


def test_the_start_and_every_so_many_steps_are_evaluated(demo_run: Path) -> None:
    assert [file.name for file in sorted((demo_run / "greedy").iterdir())] == [
        "000000.json",
        "000001.json",
        "000002.json",
    ]
    steps = [entry["step"] for entry in logged(demo_run) if "eval_greedy/giou" in entry]
    assert steps == [0, 1, 2]


def test_the_figures_are_the_means_of_the_questions(demo_run: Path) -> None:
    for step in range(3):
        result = evaluated(demo_run, step)
        assert [item["id"] for item in result["questions"]] == [
            f"val-{number:05d}" for number in range(4)
        ]
        for figure, key in (("giou", "iou"), ("reward", "reward")):
            mean = np.mean([item[key] for item in result["questions"]])
            assert result[figure] == pytest.approx(mean, abs=1e-3)
            assert result[f"{figure}_low"] <= result[figure] <= result[f"{figure}_high"]


def test_the_figures_are_those_of_the_evaluation_command(demo_run: Path, table: Path) -> None:
    """At the start the model is the shipped one; pictures are 320 x 240, the model's 256 x 256."""
    before = evaluated(demo_run, 0)
    samples = [row_to_sample(row) for row in load_rows(str(table), "val", 4)]
    results = evaluate(SegZero.load("demo", device="cpu"), samples)
    assert before["giou"] == pytest.approx(report(results, "lisa")["all"]["giou"], abs=1e-4)
    assert [item["iou"] for item in before["questions"]] == pytest.approx(
        [result.overlap.iou for result in results], abs=1e-4
    )
    assert [item["completion"] for item in before["questions"]] == [item.text for item in results]


@pytest.mark.slow
def test_the_reward_is_the_weighted_sum(table: Path, tmp_path: Path) -> None:
    rewards = ["vision_reasoner.accuracy=2", "non_repeat=0.5"]
    held_out = {"held_out_size": 4, "held_out_every": 1}
    trainer = build_trainer(*recipe("demo", table, tmp_path, rewards=rewards, **held_out))
    trainer.train()
    result = evaluated(tmp_path, 1)
    texts = [item["completion"] for item in result["questions"]]
    (callback,) = [
        item for item in trainer.callback_handler.callbacks if isinstance(item, GreedyEvaluation)
    ]
    solutions = [callback._rows[number]["solution"] for number in range(4)]
    _, accuracy, non_repeat = REWARD_SETS["vision_reasoner"]
    totals = 2 * np.array(accuracy(texts, solutions)) + 0.5 * np.array(non_repeat(texts, solutions))
    assert [item["reward"] for item in result["questions"]] == pytest.approx(totals, abs=1e-4)


def test_the_best_of_a_run_is_kept(demo_run: Path) -> None:
    scores = [evaluated(demo_run, step) for step in range(3)]
    best = json.loads((demo_run / "best" / "score.json").read_text())
    assert best["giou"] == max(score["giou"] for score in scores)
    assert best["step"] == next(s["step"] for s in scores if s["giou"] == best["giou"])
    assert not (demo_run / "best.partial").exists()


@pytest.mark.slow
def test_a_worse_model_leaves_the_best_alone(table: Path, tmp_path: Path) -> None:
    """A learning rate that ruins the model."""
    held_out = {"held_out_size": 2, "held_out_every": 1}
    assert grpo.main(words("demo", table, tmp_path / "run", learning_rate=0.1, **held_out)) == 0
    first, last = (evaluated(tmp_path / "run", step) for step in (0, 1))
    assert last["giou"] < first["giou"]
    assert json.loads((tmp_path / "run" / "best" / "score.json").read_text())["step"] == 0


def test_an_evaluation_leaves_randomness_and_mode_as_they_were(
    qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    trainer: Any = build_trainer(*recipe(qwen3_vl, table, tmp_path, held_out_size=3))
    (callback,) = [
        item for item in trainer.callback_handler.callbacks if isinstance(item, GreedyEvaluation)
    ]
    trainer.model.train()
    trainer.model_wrapped = trainer.model
    before = torch.random.get_rng_state()
    drawn = np.random.get_state(legacy=False)["state"]
    callback._evaluate(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    now = np.random.get_state(legacy=False)["state"]
    assert now["pos"] == drawn["pos"] and np.array_equal(now["key"], drawn["key"])
    assert trainer.model.training
    first = evaluated(tmp_path, 1)
    callback._evaluate(2)
    assert evaluated(tmp_path, 2)["questions"] == first["questions"]


def test_a_held_out_set_without_masks_is_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plain"
    (folder / "data").mkdir(parents=True)
    rows = load_rows(str(table), "val", 4).remove_columns("mask")
    rows.to_parquet(str(folder / "data" / "val-00000.parquet"))
    arguments = words("demo", table, tmp_path / "run", held_out=folder, held_out_size=4)
    assert grpo.main(arguments) == 1
    assert "needs masks" in capsys.readouterr().err.splitlines()[-1]


def test_intervals_hold_the_mean_and_narrow_with_more_questions() -> None:
    rng = np.random.default_rng(0)

    def scored(count: int) -> list[Scored]:
        overlaps = [Overlap(int(value), 100) for value in rng.integers(0, 100, count)]
        return [
            Scored(str(number), "all", "", "[]", "", each, each.iou)
            for number, each in enumerate(overlaps)
        ]

    few, many = summary(scored(20)), summary(scored(2000))
    for figures in (few, many):
        assert figures["giou_low"] < figures["giou"] < figures["giou_high"]
        assert figures["reward_low"] < figures["reward"] < figures["reward_high"]
    assert many["giou_high"] - many["giou_low"] < (few["giou_high"] - few["giou_low"]) / 4


def test_the_shipped_demo_is_what_is_evaluated_at_the_start(demo_run: Path) -> None:
    assert evaluated(demo_run, 0)["malformed"] == 0
    assert evaluated(demo_run, 0)["giou"] > 0.3
