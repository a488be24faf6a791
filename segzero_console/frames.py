"""The pictures of a source: the newest one, recent ones, and those that somebody works on."""

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RECENT_BYTES = 64 * 2**20
"""Memory for the pictures of the last seconds."""
MAX_KEPT = 24
"""Pictures that are kept because somebody asked about them or paused there."""
CATCH_UP = 8
"""Pictures between an answer's and the present through which its objects are followed."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture of the source.

    Attributes:
        stamp: When it was taken, in nanoseconds; of a video or folder its place in it.
        rgb: (H, W, 3) uint8 RGB.
        index: Counts the pictures of the source, from 0.
        number: Counts the pictures that came, from 1; 0 is one that a page dropped in.
        received: When it came, in seconds of `time.monotonic()`.
    """

    stamp: int
    rgb: NDArray[np.uint8]
    index: int = 0
    number: int = 0
    received: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


class FrameStore:
    """Pictures by stamp, in bounded memory; for any thread."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._newest: Picture | None = None
        self._recent: deque[Picture] = deque()
        self._bytes = 0
        self._kept: OrderedDict[int, Picture] = OrderedDict()
        self._histories: list[History] = []
        self._closed = False

    @property
    def count(self) -> int:
        """How many pictures came."""
        return self._newest.number if self._newest else 0

    def put(self, stamp: int, rgb: NDArray[np.uint8], index: int) -> Picture:
        """Replace the newest picture; the pixels must not change any more."""
        with self._change:
            picture = Picture(stamp, rgb, index, self.count + 1)
            self._newest = picture
            self._recent.append(picture)
            self._bytes += rgb.nbytes
            while self._bytes > RECENT_BYTES and len(self._recent) > 1:
                self._bytes -= self._recent.popleft().rgb.nbytes
            for history in self._histories:
                history.add(picture)
            self._change.notify_all()
            return picture

    def keep(self, picture: Picture) -> None:
        """Keep a picture until MAX_KEPT others were kept after it."""
        with self._change:
            self._kept[picture.stamp] = picture
            self._kept.move_to_end(picture.stamp)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)

    def find(self, stamp: int) -> Picture | None:
        """The picture of a stamp, if it is still there."""
        with self._change:
            if kept := self._kept.get(stamp):
                return kept
            return next((p for p in reversed(self._recent) if p.stamp == stamp), None)

    def newest(self) -> Picture | None:
        """The newest picture, or None before the first."""
        return self._newest

    def wait(
        self, after: int, timeout: float, stop: threading.Event | None = None
    ) -> Picture | None:
        """Wait for a picture with a number above `after`; None after `timeout`, `stop` or `close`.

        Whoever sets `stop` calls `wake`.
        """

        def ready() -> bool:
            return self._closed or self.count > after or (stop is not None and stop.is_set())

        with self._change:
            self._change.wait_for(ready, timeout)
            ended = self._closed or (stop is not None and stop.is_set())
            return None if ended or self.count <= after else self._newest

    def wake(self) -> None:
        """Let waiting threads look at their `stop`."""
        with self._change:
            self._change.notify_all()

    def record(self) -> "History":
        """Start a history of the pictures that come from now on; end it with `release`."""
        history = History()
        with self._change:
            self._histories.append(history)
        return history

    def release(self, history: "History | None") -> list[Picture]:
        """End a history and return its pictures, oldest first."""
        with self._change:
            if history is None or history not in self._histories:
                return []
            self._histories.remove(history)
            return history.pictures

    def close(self) -> None:
        """Let every waiting thread go on."""
        with self._change:
            self._closed = True
            self._change.notify_all()


class History:
    """At most 2 × CATCH_UP pictures, evenly spread over a time without a fixed end.

    Attributes:
        pictures: Oldest first.
    """

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self._stride = 1
        self._offered = 0

    def add(self, picture: Picture) -> None:
        """Keep the picture if it is its turn."""
        self._offered += 1
        if self._offered % self._stride:
            return
        self.pictures.append(picture)
        if len(self.pictures) >= 2 * CATCH_UP:
            self.pictures = self.pictures[1::2]
            self._stride *= 2
