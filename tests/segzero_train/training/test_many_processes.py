"""What is wrong with a command is said once, whatever the number of processes that were started.

The launcher ends the processes of a machine as soon as one has failed. Here that is the moment at
which a process begins to wait.
"""

import pytest

from segzero_train import grpo, sft
from segzero_train.training import checkpointing

PROCESSES = 8


class Ended(BaseException):
    """In place of the launcher's signal."""


def start(
    command: object, words: list[str], patch: pytest.MonkeyPatch, machine: int, waited: list[float]
) -> list[int]:
    """Start the command on each process of a machine; returns the statuses of those that ended."""

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) != 1 or machine == 0:
            raise Ended

    patch.setattr(checkpointing.time, "sleep", wait)
    statuses = []
    for local in range(PROCESSES):
        patch.setenv("RANK", str(machine * PROCESSES + local))
        patch.setenv("LOCAL_RANK", str(local))
        try:
            statuses.append(command.main(words))  # type: ignore[attr-defined]
        except Ended:
            continue
    return statuses


WRONG = {
    "an unknown key": (
        ["--config", "demo", "--learnign_rate", "1"],
        "did you mean --learning_rate",
    ),
    "no such recipe": (["--config", "demmo"], "demmo"),
    "no number": (["--config", "demo", "--learning_rate", "fast"], "learning_rate"),
    "no value": (["--config"], "--config needs a recipe"),
}


@pytest.mark.parametrize("machine", [0, 1])
@pytest.mark.parametrize("command", [grpo, sft], ids=["grpo", "sft"])
@pytest.mark.parametrize("wrong", WRONG)
def test_eight_processes_say_it_in_one_line(
    wrong: str,
    command: object,
    machine: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, named = WRONG[wrong]
    waited: list[float] = []
    assert start(command, words, monkeypatch, machine, waited) == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line
    # The first of another machine, whose launcher may not know yet, speaks before the others.
    assert not machine or waited[0] < min(waited[1:])


def test_a_later_process_that_fails_alone_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpointing.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "5")
    with checkpointing.reported() as outcome:
        raise OSError("the disk of this process")
    assert outcome.status == 1
    assert "the disk of this process" in capsys.readouterr().err
