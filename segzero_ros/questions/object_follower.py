"""The objects of an answer, from the frame they were found in to the present and on with it."""

import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadImage
from segzero.pipeline import SegZero
from segzero.types import Segmentation, SegmentedObject
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame, History, LatestFrame
from segzero_ros.parameters import Parameters
from segzero_ros.query import Query
from segzero_ros.results.reporter import Reporter

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

LOST_FOR = 1.0
"""Seconds after which an object that isn't seen is lost, for `reask: on_lost`."""


class ObjectFollower:
    """Follows the objects of one question until `stop` is set; for the worker's thread.

    Every frame that comes meanwhile is followed, stepped through to catch up, or reported as
    skipped.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        params: Callable[[], Parameters],
        reporter: Reporter,
        question: Query,
        stop: Event,
    ) -> None:
        self._segzero = segzero
        self._frames = frames
        self._params = params
        self._reporter = reporter
        self._question = question
        self._stop = stop
        self._tracker: Tracker | None = None
        self._shape: tuple[int, ...] = ()
        self._last = 0  # number of the newest frame that was looked at
        self._seen: dict[int, float] = {}  # when each object was last seen
        self._asked = time.monotonic()
        self._asked_again = 0.0

    def run(self, objects: Sequence[SegmentedObject]) -> None:
        """Follow `objects`, found in the question's frame. Errors are reported, not raised."""
        frame = self._question.frame
        assert frame is not None  # it was answered
        try:
            self._reporter.following(self._question)
            self._start(frame, frame.pixels(), objects)
            self._catch_up(self._question.history)
            while newest := self._frames.wait(self._stop, after=self._last):
                frame = newest
                if not self._params().follow:
                    break
                self._look(frame)
        except Exception as error:
            if not self._stop.is_set():
                self._reporter.fail_following(self._question, frame, error)
        finally:
            self._drop()
            self._reporter.following(None)

    def _start(
        self, frame: Frame, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]
    ) -> None:
        self._drop()
        self._tracker = self._segzero.track(image, objects)
        self._shape = image.shape
        self._last = max(self._last, frame.number)
        self._seen = dict.fromkeys((item.id for item in objects), time.monotonic())

    def _drop(self) -> None:
        if self._tracker:
            self._tracker.close()
            self._tracker = None

    def _catch_up(self, history: History | None) -> None:
        """Step through some of the frames between the tracker's start and the present."""
        newest = self._frames.newest()
        if history is None or newest is None:
            return
        behind = [
            frame
            for frame in self._frames.recorded(history)
            if self._last < frame.number < newest.number
        ]
        self._frames.release(history)
        for frame in evenly(behind, self._params().catch_up):
            if self._stop.is_set():
                return
            image = self._read(frame)
            if self._tracker and image is not None and image.shape == self._shape:
                self._tracker.step(image)

    def _look(self, frame: Frame) -> None:
        """Find the objects in the newest frame and publish them; ask again if it is time."""
        image = self._read(frame)
        if image is None:
            return
        if image.shape != self._shape:
            self._resized(image)
        found = self._tracker.step(image) if self._tracker else ()
        if self._stop.is_set():
            return
        seen = [item for item in found if item.box]
        self._seen.update(dict.fromkeys((item.id for item in seen), frame.received))
        lost = self._seen.keys() - {item.id for item in seen}
        height, width = image.shape[:2]
        self._reporter.followed(self._question, frame, (width, height), seen, sorted(lost))
        if self._due():
            self._ask_again(frame, image)

    def _read(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the frame's picture and count the frames skipped before it; None for garbage."""
        self._reporter.skipped(frame.number - self._last - 1)
        self._last = frame.number
        try:
            return frame.pixels()
        except ConversionError as error:
            self._reporter.unreadable(error)
            return None

    def _resized(self, image: NDArray[np.uint8]) -> None:
        """No tracker follows from one size of image to another."""
        (height, width), (rows, columns) = self._shape[:2], image.shape[:2]
        reason = f"the images changed from {width}x{height} to {columns}x{rows} pixels"
        if self._params().reask == "never":
            raise BadImage(f"{reason}, objects can't be followed so: ask again")
        self._reporter.noted(self._question, f"{reason}; it is asked again")
        self._drop()
        self._shape = image.shape
        self._seen = dict.fromkeys(self._seen, 0.0)

    def _due(self) -> bool:
        """Whether it is time to ask again."""
        params, now = self._params(), time.monotonic()
        if params.reask == "on_lost":
            lost = any(now - seen >= LOST_FOR for seen in self._seen.values())
            return lost and now - self._asked_again >= params.reask_period
        return params.reask == "every" and now - self._asked >= params.reask_period

    def _ask_again(self, frame: Frame, image: NDArray[np.uint8]) -> None:
        """Ask about this frame; where that finds nothing, following goes on as before."""
        history = self._frames.record(self._params().history)
        try:
            self._reporter.begin_inference(frame)
            answer = self._try(image)
            if self._stop.is_set():
                return
            self._reporter.asked_again(self._question, frame, answer)
            if isinstance(answer, Segmentation) and answer.objects:
                self._start(frame, image, answer.objects)
            self._asked = self._asked_again = time.monotonic()
            self._catch_up(history)
        finally:
            self._frames.release(history)

    def _try(self, image: NDArray[np.uint8]) -> Segmentation | Exception:
        try:
            return self._segzero.ask(image, self._question.text, stop=self._stop)
        except Exception as error:
            return error


def evenly(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Choose at most `count` frames, spread evenly."""
    if len(frames) <= count:
        return list(frames)
    return [frames[(2 * index + 1) * len(frames) // (2 * count)] for index in range(count)]
