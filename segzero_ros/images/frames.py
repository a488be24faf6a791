"""The newest camera frame, and a history of the frames that come while a query is answered."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.images.conversions import MAX_PIXELS, to_rgb
from segzero_ros.images.sequences import LossCounter


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera message as received.

    Attributes:
        message: The image, not yet decoded.
        received: When it came, in seconds of `time.monotonic()`.
        number: Counts the received frames, from 1; 0 is an image that came with a query.
        max_pixels: The most pixels that are decoded.
    """

    message: Image | CompressedImage
    received: float
    number: int = 0
    max_pixels: int = MAX_PIXELS

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels as (H, W, 3) uint8 RGB.

        Raises:
            ConversionError: The message holds no usable image.
        """
        if isinstance(self.message, CompressedImage):
            return compressed_to_rgb(self.message, self.max_pixels)
        return to_rgb(self.message, self.max_pixels)


class History:
    """Evenly spread frames of a time span without a fixed end, in bounded memory.

    When it is full, every second frame is dropped and from then on half as many are added, so
    that the frames stay evenly spread. For one thread at a time.

    Args:
        limit: Number of frames at which it is full.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: list[Frame] = []
        self._stride = 1
        self._offered = 0

    def add(self, frame: Frame) -> None:
        """Keep the frame if it is its turn."""
        self._offered += 1
        if self._offered % self._stride:
            return
        self._frames.append(frame)
        if len(self._frames) >= self._limit:
            self._frames = self._frames[1::2]  # the later of each two, in step with the stride
            self._stride *= 2

    def frames(self) -> tuple[Frame, ...]:
        """Return the kept frames, oldest first."""
        return tuple(self._frames)


class LatestFrame:
    """The newest frame; a newer one replaces it. For any thread.

    Attributes:
        received: Number of frames received.
        lost: Number of frames published between those, but never received.
        max_pixels: The most pixels of a frame that are decoded.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._change = threading.Condition()
        self._histories: list[History] = []
        self._losses = LossCounter()
        self.received = 0
        self.lost = 0
        self.max_pixels = MAX_PIXELS

    def put(self, message: Image | CompressedImage, sequence: int | None = None) -> None:
        """Replace the newest frame.

        Args:
            message: The image.
            sequence: The publisher's count of its messages, if known.
        """
        with self._change:
            now = time.monotonic()
            self.received += 1
            if sequence:
                self.lost += self._losses.add(sequence, now)
            self._frame = Frame(message, now, self.received, self.max_pixels)
            for history in self._histories:
                history.add(self._frame)
            self._change.notify_all()

    def newest(self) -> Frame | None:
        """Return the newest frame, or None before the first."""
        return self._frame

    def wait(
        self, stop: threading.Event, timeout: float | None = None, *, after: int = 0
    ) -> Frame | None:
        """Wait for a frame.

        Args:
            stop: Ends the wait; whoever sets it calls `wake`.
            timeout: Most seconds to wait; None has no limit.
            after: The number that the frame's number must exceed.

        Returns:
            The newest frame; None after `timeout` or `stop`.
        """

        def newer() -> bool:
            return self._frame is not None and self._frame.number > after

        with self._change:
            self._change.wait_for(lambda: stop.is_set() or newer(), timeout)
            return self._frame if newer() and not stop.is_set() else None

    def wake(self) -> None:
        """Let waiting threads check their `stop`."""
        with self._change:
            self._change.notify_all()

    def record(self, limit: int) -> History:
        """Start a history of the frames that come from now on; end it with `release`."""
        history = History(limit)
        with self._change:
            self._histories.append(history)
        return history

    def recorded(self, history: History) -> tuple[Frame, ...]:
        """Return the frames of a history, oldest first."""
        with self._change:
            return history.frames()

    def release(self, history: History | None) -> None:
        """End a history; None, or one already ended, changes nothing."""
        with self._change:
            if history in self._histories:
                self._histories.remove(history)

    def clear(self) -> None:
        """Forget the frame, not the counts; what is published until the next isn't lost."""
        self._frame, self._losses = None, LossCounter()


def sample_evenly(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Choose at most `count` frames, evenly spread."""
    if len(frames) <= count:
        return list(frames)
    return [frames[(2 * index + 1) * len(frames) // (2 * count)] for index in range(count)]
