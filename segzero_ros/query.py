"""A query under way, the tracks of its objects, and the errors that end it without an answer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero.tracks import Track
from segzero.types import ObjectPrompt, SegmentedObject, TrackedObject
from segzero_ros.images.frames import Frame, History
from segzero_ros.msg import Segmentation


class NoFrame(SegZeroError):
    """No camera image came for the query."""


class StaleFrame(NoFrame):
    """The camera's newest image is too old for the query."""


class TooManyGoals(SegZeroError):
    """The query would begin one goal more than there may be."""


class FollowingEnded(SegZeroError):
    """The objects of an answer can't be followed any more; the text says why."""


class Stopped(SegZeroError):
    """The query was stopped before it was answered; the text says why."""


class Replaced(Stopped):
    """A newer query for the same goal replaced this one."""


class GoalCancelled(Stopped):
    """The action goal of the query was cancelled."""


@dataclass(slots=True, eq=False)
class Query:
    """A question as received, with its frame and its callbacks.

    Attributes:
        id: Counts the queries of the node, from 1.
        text: The question as received.
        frame: The frame that the question is about. None until the camera's first frame.
        received: When it came, in seconds of `time.monotonic()`.
        goal: The name of its goal.
        request_id: The sender's own name for it.
        follow: Whether its objects may be followed; False if it came with its own image.
        repeated: Whether it asks an answered query again, by `reask`.
        history: The frames that came after it.
        known: The objects of its goal, as last seen when it came.
        tracks: Of the objects found so far, in the order of the answer; None where there was no id.
        stop: Set when it is replaced or stopped.
        on_text: Called with each piece of the reasoning, from the worker's thread.
        on_end: Called once with the result, from any thread.
    """

    id: int
    text: str
    frame: Frame | None
    received: float
    goal: str = ""
    request_id: str = ""
    follow: bool = True
    repeated: bool = False
    history: History | None = None
    known: tuple[TrackedObject, ...] = ()
    tracks: list[Track | None] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    on_text: Callable[[str], None] | None = None
    on_end: Callable[[Segmentation], None] | None = None

    @property
    def header(self) -> Header:
        """The header of the frame; empty without a frame."""
        return self.frame.message.header if self.frame else Header()


@dataclass(frozen=True, slots=True, eq=False)
class ShownObjects:
    """Objects to follow that somebody shows, without a question.

    Attributes:
        query: Has the goal and the frame; its text is empty.
        prompts: What is shown in the frame.
        on_end: Called once with the objects and their tracks, or with what went wrong.
    """

    query: Query
    prompts: tuple[ObjectPrompt, ...]
    on_end: Callable[[tuple[SegmentedObject, ...] | Exception, tuple[Track, ...]], None]


@dataclass(frozen=True, slots=True, eq=False)
class FollowedAnswer:
    """An answer whose objects are followed, or the objects that ~/add_objects showed.

    Attributes:
        query: The question; its text is empty for objects that were shown.
        tracks: Of its objects.
        reasoning: The model's.
    """

    query: Query
    tracks: tuple[Track, ...]
    reasoning: str = ""
