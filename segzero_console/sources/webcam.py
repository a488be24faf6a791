"""A webcam, by OpenCV."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_console.messages import SourceInfo
from segzero_console.sources.source import SourceError


class WebcamSource:
    """A camera of this machine; one that is unplugged may come back.

    Args:
        device: As /dev/video0.
        backend: OpenCV's reader of it.
    """

    def __init__(self, device: Path, backend: int = cv2.CAP_V4L2) -> None:
        self.info = SourceInfo("webcam", f"webcam {device}", live=True)
        self.rate = 30.0
        self._device = device
        self._backend = backend
        self._capture: cv2.VideoCapture | None = None
        self._index = -1

    def open(self) -> None:
        """Open the camera; raises SourceError."""
        device = self._device
        if not device.exists():
            there = ", ".join(sorted(map(str, device.parent.glob("video*")))) or "none"
            raise SourceError(
                f"there is no {device}: plug the webcam in, or name another one (there: {there})"
            )
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(f"this user may not read {device}: add it to the group `video`")
        capture = cv2.VideoCapture(str(device), self._backend)
        if not capture.isOpened():
            raise SourceError(
                f"can't open {device}: another program uses it, or it gives no pictures (many "
                "webcams have two numbers: try the other one)"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.rate = capture.get(cv2.CAP_PROP_FPS) or self.rate
        self._capture = capture

    def read(self) -> tuple[int, NDArray[np.uint8], int] | None:
        """Wait for the next picture."""
        assert self._capture is not None
        there, bgr = self._capture.read()
        if not there:
            raise SourceError(f"{self._device} gives no pictures any more: is it still plugged in?")
        self._index += 1
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return time.time_ns(), rgb, self._index

    def close(self) -> None:
        """Let other programs use the camera."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
