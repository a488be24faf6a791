"""From a query to its answer and to the following of its objects, outside the callbacks."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sensor_msgs.msg import Image

from segzero.errors import SegZeroError
from segzero.pipeline import SegZero
from segzero.reasoning.prompts import clean_question
from segzero.segmentation.matching import match_masks
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame, LatestFrame, sample_evenly
from segzero_ros.parameters import Parameters
from segzero_ros.query import (
    FollowedAnswer,
    GoalCancelled,
    NoFrame,
    Query,
    Replaced,
    ShownObjects,
    StaleFrame,
    Stopped,
    TooManyGoals,
    Track,
)
from segzero_ros.questions.object_follower import ObjectFollower
from segzero_ros.questions.track_ids import MAX_ID, TrackIds
from segzero_ros.questions.turns import Turns
from segzero_ros.questions.worker import Worker
from segzero_ros.results.reporter import Reporter

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker


class QueryProcessor:
    """Answers queries in turn, the newest of each goal, and follows their objects meanwhile.

    Call it from one thread at a time. Answers are computed in one thread, and the objects of all
    goals are followed in another, so that a question never takes the masks away.

    Args:
        segzero: The loaded models.
        frames: The camera's newest frame.
        params: Returns the current parameters.
        reporter: Gets the end of every query and every followed frame, from any thread.
        turns: Whose question is answered, if the models answer those of other cameras, too.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        params: Callable[[], Parameters],
        reporter: Reporter,
        turns: Turns,
    ) -> None:
        self.params = params
        self._segzero = segzero
        self._frames = frames
        self._reporter = reporter
        self._turns = turns
        self._ids = TrackIds()
        self._identified: Segmentation | None = None  # the answer that was just delivered
        self._worker: Worker[Query, Segmentation] = Worker(
            self._answer,
            self._deliver,
            self._follow,
            on_stop=self._wake,
            on_error=reporter.report_error,
        )
        self._follower = ObjectFollower(
            segzero,
            frames,
            params,
            reporter,
            self._ids,
            threads=lambda: self._threads(beside=self._worker.busy or turns.taken),
            reask=self._reask,
        )

    def make_query(
        self,
        query_id: int,
        text: str,
        image: Image | None = None,
        *,
        goal: str = "",
        request_id: str = "",
    ) -> Query:
        """Make a query for `ask`.

        Args:
            query_id: Counts the queries of the node.
            text: The question.
            image: The image that it is about; None for the camera's newest frame.
            goal: The name of its goal.
            request_id: The sender's own name for it.
        """
        now = time.monotonic()
        frame = Frame(image, now) if image else self._frames.newest()
        return Query(
            query_id, text, frame, now, goal=goal, request_id=request_id, follow=image is None
        )

    def ask(self, query: Query) -> None:
        """Answer `query` instead of its goal's current one; a bad one leaves that one running."""
        try:
            clean_question(query.text)
            self._check_goals(query.goal)
        except SegZeroError as error:
            self._reporter.finish_query(query, error)
            return
        params = self.params()
        if query.follow and params.follow:
            query.history = self._frames.record(params.history)
            query.known = self._follower.last_found(query.goal)
        self._reporter.begin_query(query)
        displaced = self._worker.submit(query.goal, query)
        self._finish(displaced, Replaced(f"replaced by question {query.id}"))

    def stop(self, goal: str, reason: str) -> tuple[list[Query], list[Query]]:
        """Stop a goal's question and forget its objects.

        Args:
            goal: Its name.
            reason: The error text of a query without an answer.

        Returns:
            The queries that were not yet answered, and those whose objects were followed.
        """
        unanswered = self._worker.cancel(goal)
        followed = [answer.query for answer in self._follower.forget(goal)]
        if followed:
            self._reporter.log_stopped(followed, reason)
        return self._finish(unanswered, Stopped(reason)), followed

    def stop_all(self, reason: str) -> tuple[list[Query], list[Query]]:
        """Do `stop` for every goal."""
        goals = {str(key) for key in self._worker.open_keys()} | self._follower.goals()
        unanswered, followed = [], []
        for goal in sorted(goals):
            stopped, forgotten = self.stop(goal, reason)
            unanswered += stopped
            followed += forgotten
        return unanswered, followed

    def cancel(self, query: Query) -> bool:
        """Stop one query for its sender; False if it has ended already."""
        if not self._worker.cancel_job(query):
            return False
        self._finish([query], GoalCancelled("the goal was cancelled"))
        return True

    def add_objects(self, shown: ShownObjects) -> None:
        """Follow objects that somebody shows, beside those of their goal.

        Raises:
            NoFrame: There is no image, or no fresh one.
            TooManyGoals: The goal is one more than there may be.
        """
        self._check_goals(shown.query.goal)
        frame, most = shown.query.frame, self.params().max_frame_age
        if frame is None:
            raise NoFrame("no image came yet")
        if shown.query.follow and _age(frame) > most:
            raise StaleFrame(
                f"the newest image is {_age(frame):.1f} s old, max_frame_age allows {most:g} s"
            )
        self._follower.show(shown)

    def remove_objects(self, track_ids: Collection[int]) -> set[int]:
        """Follow single objects no longer; return the track ids of those that were followed."""
        return self._follower.remove(track_ids)

    def close(self, reason: str) -> None:
        """Stop the queries under way and wait for the threads' end.

        Args:
            reason: The error text of those without an answer.
        """
        self._finish(self._worker.close(), Stopped(reason))
        self._follower.close()

    def _check_goals(self, goal: str) -> None:
        goals, most = self._follower.goals() | self._worker.open_keys(), self.params().max_goals
        if goal not in goals and len(goals) >= most:
            raise TooManyGoals(
                f"{most} goals are in use, as many as max_goals allows: clear one with "
                "~/clear_goal, or set max_goals higher"
            )

    def _finish(self, queries: Iterable[Query], error: Stopped) -> list[Query]:
        """End queries without an answer; a repeated one had its answer before."""
        ended = []
        for query in queries:
            self._frames.release(query.history)
            self._release(query)
            if not query.repeated:
                self._reporter.finish_query(query, error)
                ended.append(query)
        return ended

    def _wake(self) -> None:
        """Let the worker look at its query's `stop`."""
        self._frames.wake()
        self._turns.wake()

    # In the worker's thread

    def _answer(self, query: Query) -> Segmentation:
        query.frame = self._fresh_frame(query)  # a silent camera must not hold the turn
        with self._turns.take(query.stop):
            return self._answer_in_turn(query)

    def _answer_in_turn(self, query: Query) -> Segmentation:
        query.frame = frame = self._fresh_frame(query)
        self._reporter.begin_inference(frame)
        try:
            return self._segzero.ask(
                frame.pixels(),
                query.text,
                on_text=partial(self._reporter.publish_reasoning, query),
                on_objects=None if query.repeated else partial(self._publish_partial, query),
                stop=query.stop,
            )
        except Exception:
            self._release(query)  # some objects may have been published
            raise

    def _publish_partial(self, query: Query, objects: Sequence[SegmentedObject]) -> None:
        """Publish the first objects of an answer; in the segmenter's thread."""
        if not query.stop.is_set():
            found, tracks = self._identify(query, objects)
            self._reporter.publish_partial(query, found, tracks)

    def _fresh_frame(self, query: Query) -> Frame:
        """The query's frame, or the newest one if that has become too old."""
        params, frame = self.params(), query.frame
        if frame and (not query.follow or _age(frame) <= params.max_frame_age):
            return frame
        newest = self._frames.newest()
        if newest and _age(newest) <= params.max_frame_age:
            return newest
        newer = self._frames.wait(
            query.stop, params.first_frame_timeout, after=newest.number if newest else 0
        )
        if newer:
            return newer
        if newest:
            raise StaleFrame(
                f"the newest image is {_age(newest):.1f} s old, max_frame_age allows "
                f"{params.max_frame_age:g} s"
            )
        raise NoFrame(f"no image came within {params.first_frame_timeout:g} s")

    def _deliver(self, query: Query, result: Segmentation | Exception) -> None:
        tracks: list[Track] = []
        if isinstance(result, Segmentation):
            objects, tracks = self._identify(query, result.objects)
            dropped = result.dropped
            if left_out := len(result.objects) - len(objects):
                encoding = self.params().mask_encoding
                dropped += (f"{left_out} objects: a {encoding} mask has no more ids",)
            result = replace(result, objects=objects, dropped=dropped)
            self._identified = result
        if query.repeated:
            self._reporter.publish_reask(query, result, tracks)
        else:
            self._reporter.finish_query(query, result, tracks)

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
        limit = MAX_ID[self.params().mask_encoding]
        query.tracks += self._ids.assign(query.goal, labels, kept, limit)
        tracks = query.tracks[: len(objects)]
        found = tuple(
            replace(item, id=track.id) for item, track in zip(objects, tracks, strict=True) if track
        )
        return found, [track for track in tracks if track]

    def _follow(self, query: Query, _: Segmentation | Exception) -> None:
        found, self._identified = self._identified, None
        try:
            if not (found and found.objects and query.follow and self.params().follow):
                self._release(query)
                return
            assert query.frame  # it was answered
            tracks = tuple(track for track in query.tracks if track)
            try:
                self._start(query, FollowedAnswer(query, tracks, found.reasoning), found.objects)
            except Exception as error:
                self._release(query)
                self._reporter.fail_following(query, query.frame, error)
        finally:
            self._frames.release(query.history)

    def _release(self, query: Query) -> None:
        """Take back the ids of objects that will not be followed; those before them still are."""
        kept = {item.id for item in query.known}
        self._ids.release(track for track in query.tracks if track and track.id not in kept)

    def _start(
        self, query: Query, answer: FollowedAnswer, objects: Sequence[SegmentedObject]
    ) -> None:
        """Track the objects to the present, beside those that are followed; then hand them over."""
        frame = query.frame
        assert frame
        idle = not self._follower.active
        with self._threads(beside=not idle):
            tracker = self._segzero.track(frame.pixels(), objects)
            for later in self._behind(query):
                if query.stop.is_set():
                    break
                frame = self._step(tracker, frame, later, count=idle)
        self._follower.follow(answer, tracker, frame)

    def _behind(self, query: Query) -> list[Frame]:
        """Some of the frames between the answered one and the present."""
        newest = self._frames.newest()
        if query.history is None or newest is None or query.frame is None:
            return []
        recorded = self._frames.recorded(query.history)
        self._frames.release(query.history)
        behind = [f for f in recorded if query.frame.number < f.number < newest.number]
        return sample_evenly(behind, self.params().catch_up)

    def _step(self, tracker: "Tracker", frame: Frame, later: Frame, *, count: bool) -> Frame:
        """Track into a later frame; return the frame at which the tracker stands."""
        if count:
            self._reporter.count_skipped(later.number - frame.number - 1)
        try:
            image = later.pixels()
        except ConversionError as error:
            self._reporter.report_bad_image(error)
            return later
        if image.shape == tracker.shape:
            tracker.step(image)
        return later

    # In the follower's thread

    def _reask(
        self, answer: FollowedAnswer, frame: Frame, known: tuple[TrackedObject, ...]
    ) -> bool:
        """Ask an answered query again about a followed frame, if its goal has nothing to do."""
        query = replace(
            answer.query,
            frame=frame,
            repeated=True,
            known=known,
            tracks=[],
            stop=threading.Event(),
            on_text=None,
            on_end=None,
        )
        query.history = self._frames.record(self.params().history)
        asked = self._worker.submit_if_free(query.goal, query)
        if not asked:
            self._frames.release(query.history)
        return asked

    def _threads(self, *, beside: bool) -> AbstractContextManager[object]:
        """Compute on half of the cores while another thread computes, too."""
        from segzero.devices import limit_omp_threads

        return limit_omp_threads() if beside else nullcontext()


def _age(frame: Frame) -> float:
    return time.monotonic() - frame.received
