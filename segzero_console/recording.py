"""The last minute: pictures as JPEG and masks as PNG, in bounded memory."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from segzero_console.results import StoredResult

SPAN = 60.0
"""Seconds that are kept."""
MAX_BYTES = 96 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """A frame of the last minute.

    Attributes:
        stamp: In nanoseconds.
        received: When it came, in seconds of `time.monotonic()`.
        jpeg: The picture.
        result: What was found in this very frame; None if nothing was followed there.
    """

    stamp: int
    received: float
    jpeg: bytes
    result: StoredResult | None = None


class Recording:
    """Keeps what was shown; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self._results: OrderedDict[int, StoredResult] = OrderedDict()
        self._bytes = 0

    def add_frame(self, stamp: int, received: float, jpeg: bytes) -> None:
        """Keep a picture that viewers are shown."""
        with self._lock:
            if stamp in self._frames:
                return
            self._frames[stamp] = (received, jpeg)
            self._bytes += len(jpeg)
            self._shrink(received - SPAN)

    def add_result(self, stored: StoredResult) -> None:
        """Keep the masks of a frame."""
        with self._lock:
            old = self._results.pop(stored.result.stamp, None)
            self._bytes += len(stored.png) - (len(old.png) if old else 0)
            self._results[stored.result.stamp] = stored

    def frames(self) -> list[RecordedFrame]:
        """The frames of the last minute in the order in which they came."""
        with self._lock:
            found = [
                RecordedFrame(stamp, received, jpeg, self._results.get(stamp))
                for stamp, (received, jpeg) in self._frames.items()
            ]
        return sorted(found, key=lambda frame: frame.received)

    def _shrink(self, oldest: float) -> None:
        while self._frames:
            _, (received, jpeg) = next(iter(self._frames.items()))
            if received >= oldest and self._bytes <= MAX_BYTES:
                break
            self._frames.popitem(last=False)
            self._bytes -= len(jpeg)
        # A result may come before its picture was sent, but not by as many as these.
        while len(self._results) > len(self._frames) + 300:
            _, stored = self._results.popitem(last=False)
            self._bytes -= len(stored.png)
