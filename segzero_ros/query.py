"""A query under way, and the errors that end it without an answer."""

from collections.abc import Callable
from dataclasses import dataclass

from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero_ros.images.frames import Frame, History
from segzero_ros.msg import Segmentation


class NoFrame(SegZeroError):
    """No camera image came for the query."""


class Stopped(SegZeroError):
    """The query was stopped before it was answered; the text says why."""


class Replaced(Stopped):
    """A newer query replaced this one."""


@dataclass(slots=True, eq=False)
class Query:
    """A question as received, with its frame and its callbacks.

    Attributes:
        id: Counts the queries of the node, from 1.
        text: The question as received.
        frame: The frame that the question is about: the newest when it came. None until the
            camera's first frame.
        received: When it came, in seconds of `time.monotonic()`.
        follow: Whether its objects may be followed; False if it came with its own image.
        history: The frames that came after it.
        on_text: Called with each piece of the reasoning, from the worker's thread.
        on_end: Called once with the result, from any thread.
    """

    id: int
    text: str
    frame: Frame | None
    received: float
    follow: bool = True
    history: History | None = None
    on_text: Callable[[str], None] | None = None
    on_end: Callable[[Segmentation], None] | None = None

    @property
    def header(self) -> Header:
        """The header of the frame; empty without a frame."""
        return self.frame.message.header if self.frame else Header()
