"""What the server needs of a node, or of SegZero over a source; and what both tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from segzero.errors import (
    BadImage,
    BadPrompt,
    BadQuestion,
    Cancelled,
    DeviceOutOfMemory,
    MalformedAnswer,
    SegZeroError,
    ServerError,
)
from segzero.types import ObjectPrompt, SegmentedObject
from segzero_console.frames import Picture
from segzero_console.messages import Ended, Light, Result, SourceInfo

MAX_GOALS = 8


class Unavailable(SegZeroError):
    """The backend can't do that; the text says why."""


class Ending(SegZeroError):
    """A question or following ended without an answer.

    Attributes:
        code: The word for programs.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question to ask.

    Attributes:
        request: The id that the page gave it.
        text: What to look for.
        goal: That it belongs to.
        picture: That it is about; None for the newest one.
        follow: Whether the objects are followed.
        private: Whether it is about a picture that one page dropped in.
    """

    request: str
    text: str
    goal: str = ""
    picture: Picture | None = None
    follow: bool = True
    private: bool = False


@dataclass(frozen=True, slots=True)
class FollowedGoal:
    """A goal whose objects are followed, with the question that found them."""

    goal: str
    question: str


class Sink(Protocol):
    """Gets what happens, from any thread; returns at once."""

    def frame(self, picture: Picture) -> None:
        """A picture came."""
        ...

    def result(self, result: Result, picture: Picture | None) -> None:
        """Objects in a picture; None where it is known by its stamp alone."""
        ...

    def thinking(self, request: str, goal: str, text: str) -> None:
        """The next piece of the thinking."""
        ...

    def ended(self, ended: Ended) -> None:
        """A question ended."""
        ...

    def lights(self, lights: Sequence[Light]) -> None:
        """The diagnostics."""
        ...

    def notice(self, level: str, text: str) -> None:
        """Something for people to read."""
        ...

    def trouble(self, what: str, error: Exception) -> None:
        """Something failed that no question waits for; people read it once, however often."""
        ...

    def player(self, index: int, length: int, playing: bool) -> None:
        """Where a video or folder stands."""
        ...


class Backend(Protocol):
    """A node, or SegZero over a source; its methods are called from any thread."""

    @property
    def info(self) -> SourceInfo:
        """The source."""
        ...

    @property
    def rate(self) -> float:
        """Pictures per second, 0 if unknown."""
        ...

    @property
    def profile(self) -> str:
        """Name of the profile, or of the node."""
        ...

    @property
    def max_goals(self) -> int:
        """The most goals at once."""
        ...

    @property
    def can(self) -> tuple[str, ...]:
        """What the page may offer."""
        ...

    def start(self, sink: Sink) -> None:
        """Begin to work; returns at once."""
        ...

    def ask(self, question: Question) -> None:
        """Ask; raises SegZeroError if it can't be asked."""
        ...

    def cancel(self, request: str) -> bool:
        """Stop a question; False if there is none of that request."""
        ...

    def clear(self, goal: str | None) -> None:
        """Stop a goal's question and following; None for all."""
        ...

    def remove(self, track_ids: Sequence[int]) -> None:
        """Follow single objects no longer."""
        ...

    def segment(
        self, picture: Picture, prompts: Sequence[ObjectPrompt]
    ) -> tuple[SegmentedObject, ...]:
        """Draw masks; takes a while, raises SegZeroError."""
        ...

    def follow(self, picture: Picture, prompts: Sequence[ObjectPrompt], goal: str) -> None:
        """Draw and follow objects; takes a while, raises SegZeroError."""
        ...

    def find(self, stamp: int) -> Picture | None:
        """A picture that is still there."""
        ...

    def keep(self, picture: Picture) -> None:
        """Keep a picture for corrections."""
        ...

    def goals(self) -> list[FollowedGoal]:
        """What is followed."""
        ...

    def seek(self, index: int) -> None:
        """Show a frame of a video or folder."""
        ...

    def pause(self) -> None:
        """Stop a video."""
        ...

    def play(self) -> None:
        """Let a video go on."""
        ...

    def close(self) -> None:
        """Stop everything and wait for it."""
        ...


# The first that fits: subclasses stand before their bases.
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (BadImage, "bad_image"),
    (BadPrompt, "bad_prompt"),
    (BadQuestion, "bad_question"),
    (Cancelled, "stopped"),
    (MalformedAnswer, "malformed_answer"),
    (DeviceOutOfMemory, "out_of_memory"),
    (ServerError, "server"),
    (Unavailable, "unavailable"),
)


def error_text(error: Exception) -> str:
    """What happened, in one line for people."""
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}"
    if isinstance(error, SegZeroError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def error_code(error: Exception) -> str:
    """The word for an error; `model` for those that nothing else names."""
    if isinstance(error, Ending):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), "model")
