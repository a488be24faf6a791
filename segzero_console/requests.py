"""What a page asks for, as frozen dataclasses; `reading` makes them of the browser's messages."""

from dataclasses import dataclass
from typing import Literal

from segzero.errors import SegZeroError
from segzero.types import ObjectPrompt

ExportFormat = Literal["png", "coco", "mp4"]


class BadRequest(SegZeroError):
    """A message of the page can't be used.

    Attributes:
        request: The id that the page gave it; empty if that can't be read.
    """

    def __init__(self, text: str, request: str = "") -> None:
        super().__init__(text)
        self.request = request


@dataclass(frozen=True, slots=True)
class PromptedObject:
    """An object of a correction.

    Attributes:
        prompt: What shows it; None if `id` names it.
        id: An object of the result at that stamp, as it is.
    """

    prompt: ObjectPrompt | None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What a message asks for.

    Attributes:
        request: The id that the page gave it.
    """

    request: str


@dataclass(frozen=True, slots=True)
class Ask(Request):
    """Ask a question about the newest frame, or about that of `stamp`."""

    text: str
    goal: str
    follow: bool
    stamp: int | None


@dataclass(frozen=True, slots=True)
class AskPicture(Request):
    """Ask about a picture file of the browser's."""

    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Cancel(Request):
    """Stop the question of that request."""


@dataclass(frozen=True, slots=True)
class Clear(Request):
    """Stop a goal's question and forget its objects; None for all goals."""

    goal: str | None


@dataclass(frozen=True, slots=True)
class Refine(Request):
    """Draw the masks of objects that are shown in a frame."""

    stamp: int
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Follow(Request):
    """Follow objects that are shown in a frame."""

    stamp: int
    goal: str
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Remove(Request):
    """Follow single objects no longer, by their track ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Save(Request):
    """Save a training row; without objects it says that nothing matches."""

    stamp: int
    question: str
    objects: tuple[PromptedObject, ...]


@dataclass(frozen=True, slots=True)
class Carry(Request):
    """Save every n-th followed frame of a goal as a row; 0 ends it."""

    goal: str
    question: str
    every: int


@dataclass(frozen=True, slots=True)
class Export(Request):
    """Make a file for the browser to download."""

    what: ExportFormat
    stamp: int | None


@dataclass(frozen=True, slots=True)
class Seek(Request):
    """Show another frame of a video or folder."""

    index: int


@dataclass(frozen=True, slots=True)
class Pause(Request):
    """Keep a frame for corrections; a video or folder stops there."""

    stamp: int | None


@dataclass(frozen=True, slots=True)
class Play(Request):
    """Let a video or folder go on."""


@dataclass(frozen=True, slots=True)
class Seen(Request):
    """The browser has drawn a frame and can take another one."""

    stamp: int
