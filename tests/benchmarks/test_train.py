"""The benchmark of GRPO: whose time is whose, and that both trainers write the same."""

import time
from pathlib import Path
from typing import Any

import pytest
import train


class Trainer:
    """Steps like TRL's: generation and rewards lie within the scoring, which comes after rows."""

    def __init__(self) -> None:
        self.callback: Any = None

    def add_callback(self, callback: Any) -> None:
        self.callback = callback

    def get_batch_samples(self) -> None:
        time.sleep(0.01)

    def _generate_single_turn(self) -> None:
        time.sleep(0.04)

    def _calculate_rewards(self) -> None:
        time.sleep(0.02)

    def _generate_and_score_completions(self) -> None:
        self._generate_single_turn()
        time.sleep(0.01)
        self._calculate_rewards()

    def train(self) -> None:
        self.callback.on_train_begin()
        for _ in range(2):
            self.get_batch_samples()
            self._generate_and_score_completions()
            time.sleep(0.03)
            self.callback.on_step_end()


def run(seconds: float, texts: list[str]) -> train.Run:
    return train.Run([dict.fromkeys(train.STAGES, (seconds, seconds / 2))], texts)


def test_every_moment_of_a_step_belongs_to_its_innermost_stage() -> None:
    trainer = Trainer()
    clock = train.Clock(trainer)
    start = time.perf_counter(), time.process_time()
    trainer.train()
    whole, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    steps = clock.take()
    assert len(steps) == 2
    asleep = {"prepare images": 0.02, "generate": 0.04, "reward": 0.02, "update": 0.03}
    for step in steps:
        assert step.keys() == asleep.keys()
        assert all(step[stage][0] >= seconds for stage, seconds in asleep.items())
    # No moment counts twice: a stage that has slept enough took nothing from another.
    assert sum(seconds for step in steps for seconds, _ in step.values()) <= whole
    assert sum(used for step in steps for _, used in step.values()) <= processor
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
    count, plain, fast = train.measure(2, 1, tmp_path)
    assert count == 64
    for side in (plain, fast):
        assert [step.keys() for step in side[0].steps] == [set(train.STAGES)] * 2
    assert plain[0].completions == fast[0].completions
