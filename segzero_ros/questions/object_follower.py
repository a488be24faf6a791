"""Follows the objects of an answer, from the frame that was asked about to the present and on."""

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
from segzero_ros.images.frames import Frame, History, LatestFrame, sample_evenly
from segzero_ros.parameters import Parameters
from segzero_ros.query import Query
from segzero_ros.results.reporter import Reporter

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

LOST_TIMEOUT = 1.0
"""Seconds after which an object that isn't seen counts as lost, for `reask: on_lost`."""


class ObjectFollower:
    """Follows the objects of one query until `stop` is set; for the worker's thread.

    Each frame that comes meanwhile is followed, tracked to catch up, or counted as skipped.

    Args:
        segzero: The loaded models.
        frames: The camera's newest frame.
        params: Returns the current parameters.
        reporter: Gets every followed frame.
        query: The answered query.
        stop: Set when the query is replaced or stopped.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        params: Callable[[], Parameters],
        reporter: Reporter,
        query: Query,
        stop: Event,
    ) -> None:
        self.params = params
        self._segzero = segzero
        self._frames = frames
        self._reporter = reporter
        self._query = query
        self._stop = stop
        self._tracker: Tracker | None = None
        self._shape: tuple[int, ...] = ()
        self._last_number = 0  # of the newest frame that was used
        self._last_seen: dict[int, float] = {}  # by object id
        self._asked_at = time.monotonic()
        self._reasked_at = 0.0

    def run(self, objects: Sequence[SegmentedObject]) -> None:
        """Follow objects; errors are reported, not raised.

        Args:
            objects: What the answer found in the query's frame.
        """
        frame = self._query.frame
        assert frame is not None  # it was answered
        try:
            self._reporter.set_followed_query(self._query)
            self._start(frame, frame.pixels(), objects)
            self._catch_up(self._query.history)
            while newest := self._frames.wait(self._stop, after=self._last_number):
                frame = newest
                if not self.params().follow:
                    break
                self._track(frame)
        except Exception as error:
            if not self._stop.is_set():
                self._reporter.fail_following(self._query, frame, error)
        finally:
            self._close_tracker()
            self._reporter.set_followed_query(None)

    def _start(
        self, frame: Frame, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]
    ) -> None:
        self._close_tracker()
        self._tracker = self._segzero.track(image, objects)
        self._shape = image.shape
        self._last_number = max(self._last_number, frame.number)
        self._last_seen = dict.fromkeys((item.id for item in objects), time.monotonic())

    def _close_tracker(self) -> None:
        if self._tracker:
            self._tracker.close()
            self._tracker = None

    def _catch_up(self, history: History | None) -> None:
        """Track through some of the frames between the answered frame and the present."""
        newest = self._frames.newest()
        if history is None or newest is None:
            return
        behind = [
            frame
            for frame in self._frames.recorded(history)
            if self._last_number < frame.number < newest.number
        ]
        self._frames.release(history)
        for frame in sample_evenly(behind, self.params().catch_up):
            if self._stop.is_set():
                return
            image = self._decode(frame)
            if self._tracker and image is not None and image.shape == self._shape:
                self._tracker.step(image)

    def _track(self, frame: Frame) -> None:
        """Track the objects into the newest frame and publish them; ask again if it is time."""
        image = self._decode(frame)
        if image is None:
            return
        if image.shape != self._shape:
            self._restart_for_size(image)
        found = self._tracker.step(image) if self._tracker else ()
        if self._stop.is_set():
            return
        seen = [item for item in found if item.box]
        self._last_seen.update(dict.fromkeys((item.id for item in seen), frame.received))
        lost = self._last_seen.keys() - {item.id for item in seen}
        height, width = image.shape[:2]
        self._reporter.publish_tracked(self._query, frame, (width, height), seen, sorted(lost))
        if self._reask_due():
            self._reask(frame, image)

    def _decode(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Return the frame's pixels and count the frames skipped before it; None if unusable."""
        self._reporter.count_skipped(frame.number - self._last_number - 1)
        self._last_number = frame.number
        try:
            return frame.pixels()
        except ConversionError as error:
            self._reporter.report_bad_image(error)
            return None

    def _restart_for_size(self, image: NDArray[np.uint8]) -> None:
        """Close the tracker: it can't follow from one image size to another."""
        (height, width), (rows, columns) = self._shape[:2], image.shape[:2]
        reason = f"the images changed from {width}x{height} to {columns}x{rows} pixels"
        if self.params().reask == "never":
            raise BadImage(f"{reason}, objects can't be followed so: ask again")
        self._reporter.log_event(self._query, f"{reason}; it is asked again")
        self._close_tracker()
        self._shape = image.shape
        self._last_seen = dict.fromkeys(self._last_seen, 0.0)

    def _reask_due(self) -> bool:
        params, now = self.params(), time.monotonic()
        if params.reask == "on_lost":
            lost = any(now - seen >= LOST_TIMEOUT for seen in self._last_seen.values())
            return lost and now - self._reasked_at >= params.reask_period
        return params.reask == "every" and now - self._asked_at >= params.reask_period

    def _reask(self, frame: Frame, image: NDArray[np.uint8]) -> None:
        """Ask about this frame; without objects in the answer, the following goes on unchanged."""
        history = self._frames.record(self.params().history)
        try:
            self._reporter.begin_inference(frame)
            result = self._ask(image)
            if self._stop.is_set():
                return
            self._reporter.publish_reask(self._query, frame, result)
            if isinstance(result, Segmentation) and result.objects:
                self._start(frame, image, result.objects)
            self._asked_at = self._reasked_at = time.monotonic()
            self._catch_up(history)
        finally:
            self._frames.release(history)

    def _ask(self, image: NDArray[np.uint8]) -> Segmentation | Exception:
        try:
            return self._segzero.ask(image, self._query.text, stop=self._stop)
        except Exception as error:
            return error
