"""A video file, by OpenCV."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_console.messages import SourceInfo
from segzero_console.sources.source import EndOfSource, SourceError

_SKIPPED = 100
"""Frames up to which it is faster to decode on than to jump."""


class VideoSource:
    """A video file.

    Args:
        path: The file.

    Raises:
        SourceError: It can't be read as a video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = capture = cv2.VideoCapture(str(path))
        if not capture.isOpened():
            raise SourceError(f"can't read {path} as a video: convert it to mp4")
        length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = capture.get(cv2.CAP_PROP_FPS)
        if length < 1:
            raise SourceError(f"{path} says nothing about its length: convert it to mp4")
        self.info = SourceInfo("video", path.name, live=False, length=length)
        self.rate = rate if 0 < rate < 1000 else 30.0
        self._next = 0

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode a frame.

        Raises:
            EndOfSource: There is none.
        """
        if not 0 <= index < self.info.length:
            raise EndOfSource
        if not self._next <= index <= self._next + _SKIPPED:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            self._next = index
        while self._next < index and self._capture.grab():
            self._next += 1
        there, bgr = self._capture.read()
        if not there:
            raise EndOfSource
        self._next = index + 1
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
