"""From question to answer, off the callbacks: every question ends exactly once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero.pipeline import SegZero
from segzero.prompts import clean_question
from segzero.types import Segmentation
from segzero_ros.conversions import compressed_to_rgb, to_rgb
from segzero_ros.frames import Frame, LatestFrame
from segzero_ros.worker import Worker


class NoFrame(SegZeroError):
    """A question came, but no picture did."""


class Stopped(SegZeroError):
    """The question was given up before its answer was there; the text says why."""


class Replaced(Stopped):
    """A newer question took the place of this one."""


@dataclass(slots=True)
class Question:
    """A question as received.

    frame: the picture it is about: the newest when it came, or None until the first one came.
    received: seconds of `time.monotonic()`.
    """

    id: int
    text: str
    frame: Frame | None
    received: float

    @property
    def header(self) -> Header:
        """The header of the picture; empty without one."""
        return self.frame.message.header if self.frame else Header()


class Answering:
    """Answers the newest question; call its methods from one thread at a time.

    on_end: called once for every question with its answer or the error that it ended with, from
    the caller's or the worker's thread; must not raise.
    first_frame_timeout: seconds that a question waits for the first frame.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        first_frame_timeout: float,
        on_end: Callable[[Question, Segmentation | Exception], None],
    ) -> None:
        self._segzero = segzero
        self._frames = frames
        self._first_frame_timeout = first_frame_timeout
        self._on_end = on_end
        self._worker = Worker(self._answer, on_end)

    def ask(self, question_id: int, text: str) -> None:
        """Answer `text` instead of the question under way; blank text only stops that one."""
        question = Question(question_id, text, self._frames.newest(), time.monotonic())
        if not text.strip():
            stopped = self._worker.cancel()
            self._end(stopped, Stopped("stopped by an empty question"))
            if stopped:
                return
        try:
            clean_question(text)
        except SegZeroError as error:
            self._on_end(question, error)
            return
        self._end(self._worker.submit(question), Replaced(f"replaced by question {question_id}"))

    def close(self, reason: str) -> None:
        """Give up the question under way and wait until nothing runs any more."""
        self._end(self._worker.close(), Stopped(reason))

    def _end(self, questions: list[Question], error: Stopped) -> None:
        for question in questions:
            self._on_end(question, error)

    def _answer(self, question: Question, stop: Event) -> Segmentation:
        if question.frame is None:
            question.frame = self._frames.wait(self._first_frame_timeout, stop)
        if question.frame is None:
            raise NoFrame(f"no image came within {self._first_frame_timeout:g} s")
        return self._segzero.ask(pixels(question.frame), question.text, stop=stop)


def pixels(frame: Frame) -> NDArray[np.uint8]:
    """Return the frame as (H, W, 3) uint8 RGB. Raises ConversionError."""
    if isinstance(frame.message, CompressedImage):
        return compressed_to_rgb(frame.message)
    return to_rgb(frame.message)
