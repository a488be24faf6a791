"""The work on a query: its answer, the ids of its objects, and their way to the present."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from segzero.segmentation.matching import match_masks
from segzero.tracks import Track
from segzero.types import Segmentation, SegmentedObject
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame, sample_evenly
from segzero_ros.query import FollowedAnswer, NoFrame, Query, StaleFrame
from segzero_ros.questions.object_follower import ObjectFollower
from segzero_ros.questions.query_context import QueryContext

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker


class QueryPipeline:
    """What the worker does with a query; for its thread, except for `release`.

    Args:
        context: What it shares with the others.
        follower: Gets the objects.
    """

    def __init__(self, context: QueryContext, follower: ObjectFollower) -> None:
        self._context = context
        self._follower = follower
        self._identified: Segmentation | None = None  # the answer that was just delivered

    def answer(self, query: Query) -> Segmentation:
        """Compute the answer; the result of the worker's job."""
        query.frame = self._fresh_frame(query)  # a silent camera must not hold the turn
        with self._context.turns.take(query.stop):
            return self._answer_in_turn(query)

    def _answer_in_turn(self, query: Query) -> Segmentation:
        query.frame = frame = self._fresh_frame(query)
        self._context.reporter.begin_inference(frame)
        try:
            return self._context.segzero.ask(
                frame.pixels(),
                query.text,
                on_text=partial(self._context.reporter.publish_reasoning, query),
                on_objects=None if query.repeated else partial(self._publish_partial, query),
                stop=query.stop,
            )
        except Exception:
            self.release(query)  # some objects may have been published
            raise

    def _publish_partial(self, query: Query, objects: Sequence[SegmentedObject]) -> None:
        """Publish the first objects of an answer; in the segmenter's thread."""
        if not query.stop.is_set():
            found, tracks = self._identify(query, objects)
            self._context.reporter.publish_partial(query, found, tracks)

    def _fresh_frame(self, query: Query) -> Frame:
        """The query's frame, or the newest one if that has become too old."""
        params, frame = self._context.params(), query.frame
        if frame and (not query.follow or age(frame) <= params.max_frame_age):
            return frame
        newest = self._context.frames.newest()
        if newest and age(newest) <= params.max_frame_age:
            return newest
        newer = self._context.frames.wait(
            query.stop, params.first_frame_timeout, after=newest.number if newest else 0
        )
        if newer:
            return newer
        if newest:
            raise StaleFrame(
                f"the newest image is {age(newest):.1f} s old, max_frame_age allows "
                f"{params.max_frame_age:g} s"
            )
        raise NoFrame(f"no image came within {params.first_frame_timeout:g} s")

    def deliver(self, query: Query, result: Segmentation | Exception) -> None:
        """Give the objects their ids and publish the result."""
        tracks: list[Track] = []
        if isinstance(result, Segmentation):
            objects, tracks = self._identify(query, result.objects)
            dropped = result.dropped
            if left_out := len(result.objects) - len(objects):
                encoding = self._context.params().mask_encoding
                dropped += (f"{left_out} objects: a {encoding} mask has no more ids",)
            result = replace(result, objects=objects, dropped=dropped)
            self._identified = result
        if query.repeated:
            self._context.reporter.publish_reask(query, result, tracks)
        else:
            self._context.reporter.finish_query(query, result, tracks)

    def _identify(
        self, query: Query, objects: Sequence[SegmentedObject]
    ) -> tuple[tuple[SegmentedObject, ...], list[Track]]:
        """Give the objects their ids: those of the followed objects that they are, or new ones."""
        taken = {track.id for track in query.tracks if track}
        known = [item for item in query.known if item.id not in taken]
        new = objects[len(query.tracks) :]
        matches = match_masks([item.mask for item in new], [item.mask for item in known])
        kept = [None if match is None else known[match].id for match in matches]
        labels = [item.label or query.text.strip() for item in new]
        limit = self._context.params().max_id
        query.tracks += self._context.ids.assign(query.goal, labels, kept, limit)
        tracks = query.tracks[: len(objects)]
        found = tuple(
            replace(item, id=track.id) for item, track in zip(objects, tracks, strict=True) if track
        )
        return found, [track for track in tracks if track]

    def follow(self, query: Query, _: Segmentation | Exception) -> None:
        """Hand the objects over to the follower, once they are tracked to the present."""
        found, self._identified = self._identified, None
        try:
            if not (found and found.objects and query.follow and self._context.params().follow):
                self.release(query)
                return
            assert query.frame  # it was answered
            tracks = tuple(track for track in query.tracks if track)
            try:
                self._start(query, FollowedAnswer(query, tracks, found.reasoning), found.objects)
            except Exception as error:
                self.release(query)
                self._context.reporter.fail_following(query, query.frame, error)
        finally:
            self._context.frames.release(query.history)

    def release(self, query: Query) -> None:
        """Take back the ids of objects that will not be followed; those before them still are."""
        kept = {item.id for item in query.known}
        self._context.ids.release(track for track in query.tracks if track and track.id not in kept)

    def _start(
        self, query: Query, answer: FollowedAnswer, objects: Sequence[SegmentedObject]
    ) -> None:
        """Track the objects to the present, beside those that are followed; then hand them over."""
        frame = query.frame
        assert frame
        idle = not self._follower.active
        with share_cores(beside=not idle):
            tracker = self._context.segzero.track(frame.pixels(), objects)
            for later in self._behind(query):
                if query.stop.is_set():
                    break
                frame = self._step(tracker, frame, later, count=idle)
        self._follower.follow(answer, tracker, frame)

    def _behind(self, query: Query) -> list[Frame]:
        """Some of the frames between the answered one and the present."""
        newest = self._context.frames.newest()
        if query.history is None or newest is None or query.frame is None:
            return []
        recorded = self._context.frames.recorded(query.history)
        self._context.frames.release(query.history)
        behind = [f for f in recorded if query.frame.number < f.number < newest.number]
        return sample_evenly(behind, self._context.params().catch_up)

    def _step(self, tracker: "Tracker", frame: Frame, later: Frame, *, count: bool) -> Frame:
        """Track into a later frame; return the frame at which the tracker stands."""
        if count:
            self._context.reporter.count_skipped(later.number - frame.number - 1)
        try:
            image = later.pixels()
        except ConversionError as error:
            self._context.reporter.report_bad_image(error)
            return later
        if image.shape == tracker.shape:
            tracker.step(image)
        return later


def share_cores(*, beside: bool) -> AbstractContextManager[object]:
    """Compute on half of the cores while another thread computes, too."""
    from segzero.devices import limit_omp_threads

    return limit_omp_threads() if beside else nullcontext()


def age(frame: Frame) -> float:
    """Seconds since the frame came."""
    return time.monotonic() - frame.received
