"""What waits to be sent to one browser: texts in order, of frames and masks the newest alone."""

import asyncio
from collections import deque
from dataclasses import dataclass

from segzero_console.frames import Picture
from segzero_console.messages import to_json
from segzero_console.results import StoredResult

MAX_WAITING = 2000
"""Texts and answers that may wait for a browser; one that is slower is disconnected."""
SENT = 32
"""Frames that a page still has of those that it was sent: fewer than `frames.js` keeps."""
MAX_ON_THE_WAY = 3
"""Frames that a browser may have before it; more would only be old when they are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """A result with its picture; the picture is sent first where it is unknown.

    Attributes:
        stored: The result.
        picture: Its frame; None if nobody here has it.
        message: The result's bytes, one object for all viewers.
        request: Names the page's request if the picture was dropped in there.
    """

    stored: StoredResult
    picture: Picture | None
    message: bytes
    request: str = ""


class Viewer:
    """One browser; for the server's event loop.

    Attributes:
        dropped: Frames that were not sent because newer ones came.
        bytes_sent: What was sent so far.
        paused: The picture that the browser keeps.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.bytes_sent = 0
        self.paused: Picture | None = None
        self.too_slow = False
        self._event = asyncio.Event()
        self._waiting: deque[str | bytes | Paired] = deque()
        self._followed: Paired | None = None
        self._frame: Picture | None = None
        self._sent: deque[int] = deque(maxlen=SENT)
        # Stamps of frames that the browser has not drawn; counted once it tells what it draws.
        self._on_the_way: deque[int] = deque()
        self._tells = False

    def tell(self, message: dict | bytes | Paired) -> None:
        """Send this, after what was told before."""
        if len(self._waiting) >= MAX_WAITING:
            self.too_slow = True
            self._waiting.clear()
        self._waiting.append(to_json(message) if isinstance(message, dict) else message)
        self._event.set()

    def show(self, picture: Picture) -> None:
        """Send this picture, unless a newer one comes before."""
        if self._frame is not None:
            self.dropped += 1
        self._frame = picture
        self._event.set()

    def follow(self, paired: Paired) -> None:
        """Send this result of a followed frame, unless a newer one comes before."""
        self._followed = paired
        self._event.set()

    async def next(self) -> str | bytes | Paired | Picture:
        """Wait for the next to send."""
        while True:
            if self._waiting:
                return self._waiting.popleft()
            if self._tells and len(self._on_the_way) >= MAX_ON_THE_WAY:
                pass  # `see` makes room
            elif self._followed is not None:
                followed, self._followed = self._followed, None
                return followed
            elif self._frame is not None:
                picture, self._frame = self._frame, None
                return picture
            self._event.clear()
            await self._event.wait()

    def see(self, stamp: int) -> None:
        """The browser has drawn a frame; those before it will not be drawn any more."""
        self._tells = True
        if stamp in self._on_the_way:
            while self._on_the_way.popleft() != stamp:
                pass
            self._event.set()

    def knows(self, stamp: int) -> bool:
        """Whether the browser was sent the frame of a stamp, not long ago."""
        return stamp in self._sent

    def mark_sent(self, picture: Picture) -> None:
        """Remember that a frame was sent; it needs no second time."""
        self._sent.append(picture.stamp)
        self._on_the_way.append(picture.stamp)
        if not self._tells and len(self._on_the_way) > SENT:
            self._on_the_way.popleft()
        if self._frame is picture:
            self._frame = None
