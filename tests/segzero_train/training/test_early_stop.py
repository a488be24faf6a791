"""When a run ends early, and what that is called."""

import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from segzero_train.errors import BadRecipe
from segzero_train.training.early_stop import EarlyStop, end_of_time

ARGS: Any = SimpleNamespace(device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every handler is what it was; no job of Slurm's is around the tests."""
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def step(early_stop: EarlyStop, *numbers: signal.Signals) -> tuple[str, bool]:
    """Train a step in which signals come; why it was the last one, and whether it is saved."""
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    early_stop.on_train_begin(ARGS, None, control)
    for number in numbers:
        os.kill(os.getpid(), number)
    early_stop.on_step_end(ARGS, None, control)
    early_stop.on_train_end(ARGS, None, control)
    assert control.should_save == control.should_training_stop
    return early_stop.reason, control.should_save


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([], ""),
        ([signal.SIGTERM], "interrupted"),
        ([signal.SIGINT], "interrupted"),
        ([signal.SIGUSR1], "requeue"),
        ([signal.SIGUSR1, signal.SIGUSR1], "requeue"),
        ([signal.SIGUSR1, signal.SIGTERM], "interrupted"),
    ],
)
def test_a_signal_ends_the_run_after_its_step(numbers: list[Any], reason: str) -> None:
    assert step(EarlyStop(), *numbers) == (reason, bool(reason))


def test_a_second_signal_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        step(EarlyStop(), signal.SIGINT, signal.SIGINT)


def test_a_late_request_does_not_end_the_process_that_saves_its_model() -> None:
    step(EarlyStop())
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize(("limit", "reason"), [("0:01", "requeue"), ("1-00:00", ""), ("", "")])
def test_a_step_that_might_not_end_in_time_is_not_begun(limit: str, reason: str) -> None:
    assert step(EarlyStop(limit)) == (reason, bool(reason))


@pytest.mark.parametrize(("left", "reason"), [(60, "requeue"), (86400, "")])
def test_the_end_of_a_slurm_job_is_the_limit(
    left: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + left))
    assert step(EarlyStop())[0] == reason
    assert step(EarlyStop("1-00:00"))[0] == ""


def test_a_checkpoint_that_was_quick_leaves_time_for_more_steps() -> None:
    early_stop, control = EarlyStop("0:05"), SimpleNamespace()
    early_stop._end = time.time() + 60
    assert step(early_stop)[0] == "requeue"
    early_stop._asked = ""
    early_stop.on_save(ARGS, None, control)
    assert step(early_stop)[0] == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:30", 1800), ("23:30", 84600), ("1-12:00", 129600), ("00:02:03", 123), ("100:00", 360000)],
)
def test_a_limit_is_written_as_for_slurm(text: str, seconds: int) -> None:
    end = end_of_time(text)
    assert end is not None
    assert end - psutil.Process().create_time() == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["90", "1410", "1h", "12:5", "-1:00", "infinite"])
def test_another_limit_is_refused(text: str) -> None:
    with pytest.raises(BadRecipe, match=r"time_limit: .* such as 23:30"):
        end_of_time(text)
