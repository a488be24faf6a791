"""Ending a run early without loss: on a signal, or ahead of the end of its time."""

import os
import re
import signal
import time
from types import FrameType
from typing import Any, Literal

import psutil
import torch
from transformers import TrainerCallback

from segzero_train.errors import BadRecipe

Reason = Literal["", "interrupted", "requeue"]
"""Why a run ended: at its end; by a user, who wants to hear of it; by a scheduler, in order."""

_REASONS: tuple[Reason, ...] = ("", "requeue", "interrupted")
_FIRST_SAVE = 300.0
"""Seconds that a checkpoint is thought to take before one was written."""
_SLACK = 1.5
"""A step may take so many times as long as the longest so far."""
_SLURM_END = "SLURM_JOB_END_TIME"
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")


class EarlyStop(TrainerCallback):
    """Ends a run after a step, with a checkpoint, on all processes at the same step.

    The first SIGINT or SIGTERM asks for it; the next ends the process at once. SIGUSR1, which
    schedulers send ahead of the end, asks for it too and never ends a process while it trains. So
    does the time: a step that might not end in time with its checkpoint isn't begun.

    Attributes:
        reason: Why the run ended.
    """

    def __init__(self, time_limit: str = "") -> None:
        """Nothing is taken over before the training begins.

        Args:
            time_limit: As in the recipe; see `end_of_time`.

        Raises:
            BadRecipe: It can't be read.
        """
        self.reason: Reason = ""
        self._end = end_of_time(time_limit)
        self._asked: Reason = ""
        self._previous: dict[int, Any] = {}
        self._begun = self._longest_step = 0.0
        self._longest_save: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take over the signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._interrupt)
        signal.signal(signal.SIGUSR1, self._requeue)
        self._begun = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run if it was asked for in any process, or if its time is nearly up."""
        now = time.time()
        self._longest_step = max(self._longest_step, now - self._begun)
        self._begun = now
        if self._end is not None and now + self._reserve() > self._end:
            self._asked = self._asked or "requeue"
        self.reason = _of_all(self._asked, args.device)
        if self.reason:
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note how long a checkpoint took."""
        took = time.time() - self._begun
        self._longest_save = max(self._longest_save or 0.0, took)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give the signals back; SIGUSR1 has nothing left to ask for."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def _reserve(self) -> float:
        """Seconds that one more step and its checkpoint may take."""
        save = _FIRST_SAVE if self._longest_save is None else self._longest_save
        return _SLACK * (self._longest_step + save)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._asked = "interrupted"
        signal.signal(number, self._previous[number])

    def _requeue(self, number: int, frame: FrameType | None) -> None:
        self._asked = self._asked or "requeue"


def end_of_time(time_limit: str) -> float | None:
    """When the run's time is up.

    Args:
        time_limit: `HH:MM`, `HH:MM:SS` or `D-HH:MM`, from the start of the command. Empty: what
            Slurm says in SLURM_JOB_END_TIME.

    Returns:
        Seconds since 1970; None without any limit.

    Raises:
        BadRecipe: It can't be read.
    """
    if not time_limit:
        end = os.environ.get(_SLURM_END, "")
        return float(end) if end.isdigit() else None
    if not (match := _LIMIT.fullmatch(time_limit)):
        raise BadRecipe(
            f"time_limit: {time_limit!r} can't be read: write hours and minutes, such as 23:30 or "
            f"1-12:00 with days (in YAML in quotes)"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    length = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return psutil.Process().create_time() + length


def _of_all(asked: Reason, device: torch.device) -> Reason:
    """The weightiest reason of all processes: all must stop at the same step."""
    if not torch.distributed.is_initialized():
        return asked
    place = torch.tensor(_REASONS.index(asked), device=device)
    torch.distributed.all_reduce(place, torch.distributed.ReduceOp.MAX)
    return _REASONS[int(place.item())]
