"""A webcam, by OpenCV."""

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_console.messages import SourceInfo
from segzero_console.sources.source import SourceError


class WebcamSource:
    """A camera of this machine; one that is unplugged may come back.

    Args:
        number: As in /dev/video0.
    """

    def __init__(self, number: int) -> None:
        self.info = SourceInfo("webcam", f"webcam {number}", live=True)
        self.rate = 30.0
        self._number = number
        self._capture: cv2.VideoCapture | None = None
        self._index = -1

    def open(self) -> None:
        """Open the camera; raises SourceError."""
        capture = cv2.VideoCapture(self._number)
        if not capture.isOpened():
            raise SourceError(
                f"can't open webcam {self._number}: is it plugged in, is another program using it, "
                "may this user read /dev/video*?"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.rate = capture.get(cv2.CAP_PROP_FPS) or self.rate
        self._capture = capture

    def read(self) -> tuple[int, NDArray[np.uint8], int] | None:
        """Wait for the next picture."""
        assert self._capture is not None
        there, bgr = self._capture.read()
        if not there:
            self.close()
            raise SourceError(f"webcam {self._number} gives no pictures any more")
        self._index += 1
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return time.time_ns(), rgb, self._index

    def close(self) -> None:
        """Let other programs use the camera."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
