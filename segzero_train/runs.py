"""A training run's folder as transformers' Trainer leaves it: checkpoints and log."""

import json
import re
from pathlib import Path
from typing import Any

from segzero.errors import SegZeroError

_STATE = "trainer_state.json"


class BadRun(SegZeroError):
    """A run's folder or a checkpoint in it is missing, half-written or holds no such thing."""


def checkpoints(run: Path) -> dict[int, Path]:
    """The folders `checkpoint-<step>` of a run by their step, ascending; complete or not."""
    found = {}
    for folder in run.glob("checkpoint-*"):
        if folder.is_dir() and (match := re.fullmatch(r"checkpoint-(\d+)", folder.name)):
            found[int(match.group(1))] = folder
    return dict(sorted(found.items()))


def log_history(run: Path) -> list[dict[str, Any]]:
    """What a run, or a checkpoint of one, has logged.

    Args:
        run: The folder. Of the log at the end of the run and that of the newest checkpoint, the
            longer one is read.

    Returns:
        Entries with a `step` and metrics by name.

    Raises:
        BadRun: There is no log, or it can't be read.
    """
    if not run.is_dir():
        raise BadRun(f"there is no run {run}: name the folder that training wrote to")
    files = [folder / _STATE for folder in (*checkpoints(run).values(), run)]
    files = [file for file in files if file.is_file()]
    if not files:
        raise BadRun(
            f"there is no {_STATE} in {run} or its checkpoints: the first checkpoint brings it"
        )
    return max(map(_read_log, files[-2:]), key=len)


def _read_log(file: Path) -> list[dict[str, Any]]:
    try:
        history = json.loads(file.read_text(encoding="utf-8"))["log_history"]
        if not all(isinstance(entry["step"], int) for entry in history):
            raise ValueError("a step that isn't a number")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRun(f"{file} isn't a trainer's log: {type(error).__name__}: {error}") from error
    return history
