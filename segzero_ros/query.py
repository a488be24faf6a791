"""A question on its way, and the ways in which it ends without an answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero.reasoning.thinking import ThinkingStream
from segzero_ros.images.frames import Frame, History
from segzero_ros.msg import Segmentation


class NoFrame(SegZeroError):
    """A question came, but no picture did."""


class Stopped(SegZeroError):
    """The question was given up before its answer was there; the text says why."""


class Replaced(Stopped):
    """A newer question took the place of this one."""


def _ignore(_: Any) -> None:
    pass


@dataclass(slots=True, eq=False)
class Query:
    """A question as received.

    frame: the picture it is about: the newest when it came, or None until the first one came.
    received: seconds of `time.monotonic()`.
    follow: whether its objects may be followed; not if it came with a picture of its own.
    history: the frames that came after it.
    on_text: called with each piece of the thinking, from the worker's thread.
    on_end: called once with the result, from any thread.
    """

    id: int
    text: str
    frame: Frame | None
    received: float
    follow: bool = True
    history: History | None = None
    on_text: Callable[[str], None] = _ignore
    on_end: Callable[[Segmentation], None] = _ignore
    thinking: ThinkingStream = field(default_factory=ThinkingStream)
    thought: bool = False
    """Whether the end of the thinking was told."""

    @property
    def header(self) -> Header:
        """The header of the picture; empty without one."""
        return self.frame.message.header if self.frame else Header()
