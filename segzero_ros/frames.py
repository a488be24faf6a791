"""The newest camera frame, in a slot of one: nothing queues up behind a slow model."""

import threading
import time
from dataclasses import dataclass

from rclpy.event_handler import QoSMessageLostInfo
from sensor_msgs.msg import CompressedImage, Image


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera message and when it came, in seconds of `time.monotonic()`."""

    message: Image | CompressedImage
    received: float


class LatestFrame:
    """A slot for one frame; a newer one takes the place of the older.

    received, lost: frames that came, and frames that the middleware says were lost on the way.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self.received = 0
        self.lost = 0

    def put(self, message: Image | CompressedImage) -> None:
        self._frame = Frame(message, time.monotonic())
        self.received += 1

    def newest(self) -> Frame | None:
        """Return the newest frame, or None before the first."""
        return self._frame

    def wait(self, timeout: float, stop: threading.Event) -> Frame | None:
        """Return the newest frame; wait up to `timeout` seconds for the first, unless stopped."""
        deadline = time.monotonic() + timeout
        while self._frame is None and time.monotonic() < deadline:
            if stop.wait(0.02):
                break
        return self._frame

    def count_lost(self, event: QoSMessageLostInfo) -> None:
        """Take over the middleware's count of frames that never arrived."""
        self.lost = event.total_count

    def clear(self) -> None:
        """Forget the frame; the counts stay."""
        self._frame = None
