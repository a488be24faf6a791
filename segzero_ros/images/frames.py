"""The newest camera frame in a slot of one, and the frames that come while a question is open."""

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.images.conversions import compressed_to_rgb, to_rgb


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera message as it came.

    received: seconds of `time.monotonic()`.
    number: counts the frames that came, from 1; 0 is a picture that came with a question.
    """

    message: Image | CompressedImage
    received: float
    number: int = 0

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as (H, W, 3) uint8 RGB. Raises ConversionError."""
        if isinstance(self.message, CompressedImage):
            return compressed_to_rgb(self.message)
        return to_rgb(self.message)


class History:
    """Frames of a growing span of time in bounded memory.

    When `limit` are kept, every second one is dropped and from then on only half as many taken, so
    that those kept stay evenly spread over the span. For one thread at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: list[Frame] = []
        self._stride = 1
        self._seen = 0

    def add(self, frame: Frame) -> None:
        self._seen += 1
        if self._seen % self._stride:
            return
        self._frames.append(frame)
        if len(self._frames) >= self._limit:
            self._frames = self._frames[1::2]  # the later of each two, in step with the stride
            self._stride *= 2

    def frames(self) -> tuple[Frame, ...]:
        """Return the kept frames, oldest first."""
        return tuple(self._frames)


class LatestFrame:
    """A slot for one frame; a newer one takes the place of the older. For any thread.

    received, lost: frames that came, and frames that were published in between but never came.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._change = threading.Condition()
        self._histories: list[History] = []
        self._sequence: int | None = None
        self.received = 0
        self.lost = 0

    def put(self, message: Image | CompressedImage, sequence: int | None = None) -> None:
        """Take a new frame. sequence: the camera's own count of its messages, where it is known."""
        with self._change:
            self.received += 1
            if sequence and self._sequence:
                self.lost += max(0, sequence - self._sequence - 1)  # a new camera starts at 1
            self._sequence = sequence
            self._frame = Frame(message, time.monotonic(), self.received)
            for history in self._histories:
                history.add(self._frame)
            self._change.notify_all()

    def newest(self) -> Frame | None:
        """Return the newest frame, or None before the first."""
        return self._frame

    def wait(
        self, stop: threading.Event, timeout: float | None = None, *, after: int = 0
    ) -> Frame | None:
        """Return the newest frame with a number above `after`; wait until there is one.

        None when `timeout` seconds have passed or `stop` is set; who sets it calls `wake`.
        """

        def newer() -> bool:
            return self._frame is not None and self._frame.number > after

        with self._change:
            self._change.wait_for(lambda: stop.is_set() or newer(), timeout)
            return self._frame if newer() and not stop.is_set() else None

    def wake(self) -> None:
        """Let those who wait look at their `stop`."""
        with self._change:
            self._change.notify_all()

    def record(self, limit: int) -> History:
        """Start a history of the frames that come from now on; `release` it."""
        history = History(limit)
        with self._change:
            self._histories.append(history)
        return history

    def recorded(self, history: History) -> tuple[Frame, ...]:
        """Return the frames of a history of this slot."""
        with self._change:
            return history.frames()

    def release(self, history: History | None) -> None:
        """End a history; ending it twice, or none, is fine."""
        with self._change:
            if history in self._histories:
                self._histories.remove(history)

    def clear(self) -> None:
        """Forget the frame; the counts stay. What comes meanwhile is not lost."""
        self._frame = self._sequence = None
