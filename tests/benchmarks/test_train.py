"""The benchmark of GRPO: whose time is whose, and that both trainers write the same."""

from pathlib import Path
from typing import Any

import pytest
import train


class Trainer:
    """Steps like TRL's: generation and rewards lie within the scoring, which comes after rows.

    Its time passes by hand: half of each second is the processor's.
    """

    def __init__(self) -> None:
        self.callback: Any = None
        self.seconds = 0

    def now(self) -> train.Moment:
        return self.seconds, self.seconds / 2

    def add_callback(self, callback: Any) -> None:
        self.callback = callback

    def get_batch_samples(self) -> None:
        self.seconds += 1

    def _generate_single_turn(self) -> None:
        self.seconds += 40

    def _calculate_rewards(self) -> None:
        self.seconds += 200

    def _generate_and_score_completions(self) -> None:
        self.seconds += 2
        self._generate_single_turn()
        self.seconds += 4
        self._calculate_rewards()
        self.seconds += 8

    def train(self) -> None:
        self.seconds += 10_000  # before the first step: nobody's
        self.callback.on_train_begin()
        for _ in range(2):
            self.get_batch_samples()
            self._generate_and_score_completions()
            self.seconds += 1000
            self.callback.on_step_end()


def run(seconds: float, texts: list[str]) -> train.Run:
    return train.Run([dict.fromkeys(train.STAGES, (seconds, seconds / 2))], texts)


def test_every_moment_of_a_step_belongs_to_its_innermost_stage_alone() -> None:
    trainer = Trainer()
    clock = train.Clock(trainer, trainer.now)
    trainer.train()
    step = {
        "prepare images": (15, 7.5),
        "generate": (40, 20),
        "reward": (200, 100),
        "update": (1000, 500),
    }
    assert clock.take() == [step, step]
    assert clock.take() == []


def test_steps_are_compared_one_by_one() -> None:
    plain, fast = [run(4.0, ["a", "b"]), run(2.0, ["c", "d"])], [run(1.0, ["a", "b"])] * 2
    figures = train.summary(2, plain, fast)
    assert figures["completions per second"]["plain"]["step"]["median"] == pytest.approx(0.19)
    assert figures["completions per second"]["fast"]["generate"]["median"] == 2.0
    assert figures["times as fast"]["step"]["median"] == 3.0
    assert figures["processor seconds of a step"]["fast"]["step"]["median"] == 2.0
    assert figures["same completions"] == "2 of 4"


def test_the_table_has_every_stage_and_the_whole() -> None:
    text = train.table(train.summary(8, [run(2.0, ["a"])], [run(1.0, ["a"])]))
    for stage in train.STAGES:
        assert f"| {stage} | 4.0 (4.0–4.0) | 8.0 (8.0–8.0) | 2.0 (2.0–2.0) |" in text
    assert "| step | 1.0 (1.0–1.0) | 2.0 (2.0–2.0) |" in text


@pytest.mark.slow
def test_both_trainers_write_the_same(tmp_path: Path) -> None:
    smaller = {"per_device_train_batch_size": 8, "num_generations": 4, "dataset_size": 4}
    count, plain, fast = train.measure(2, 1, tmp_path, **smaller)
    assert count == 8
    for side in (plain, fast):
        assert [step.keys() for step in side[0].steps] == [set(train.STAGES)] * 2
    assert plain[0].completions == fast[0].completions
