"""Follows the objects of all goals through the camera's frames, in one thread and one tracker."""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segzero.tracks import Track
from segzero.types import TrackedObject
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame
from segzero_ros.query import FollowedAnswer, FollowingEnded, ShownObjects, Stopped
from segzero_ros.questions.query_context import QueryContext
from segzero_ros.questions.shown_objects import draw_shown

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

LOST_TIMEOUT = 1.0
"""Seconds after which an object that isn't seen counts as lost, for `reask: on_lost`."""


class ObjectFollower:
    """A thread that follows what it is given, until it is told to forget it.

    Each frame that comes meanwhile is followed or counted as skipped.

    Args:
        context: What it shares with the others.
        threads: Returns a context in which to compute.
        reask: Called from the thread with an answer whose question is due again, the frame and the
            answer's objects as seen in it; says whether it is asked.
    """

    def __init__(
        self,
        context: QueryContext,
        *,
        threads: Callable[[], AbstractContextManager[object]] = nullcontext,
        reask: Callable[[FollowedAnswer, Frame, tuple[TrackedObject, ...]], bool],
    ) -> None:
        self._context = context
        self._threads = threads
        self._reask = reask
        self._lock = threading.Lock()
        # By the lock: what is followed, by goal; what joins it before the next frame.
        self._answers: dict[str, list[FollowedAnswer]] = {}
        self._joining: list[tuple[FollowedAnswer, Tracker, bool]] = []
        self._shown: list[ShownObjects] = []
        self._found: tuple[TrackedObject, ...] = ()  # in the last frame
        self._closed = False
        self._changed = threading.Event()  # wakes the thread
        # The thread's own:
        self._tracker: Tracker | None = None
        self._frame: Frame | None = None
        self._last_number = 0  # of the newest frame that was used
        self._last_seen: dict[int, float] = {}  # by object id
        self._answered_at: dict[str, float] = {}  # by goal
        self._reasked_at: dict[str, float] = {}  # by goal
        self._thread = threading.Thread(target=self._run, name="segzero-follower", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether anything is followed."""
        return bool(self._answers)

    def goals(self) -> set[str]:
        """Names of the goals whose objects are followed."""
        with self._lock:
            return self._answers.keys() | {answer.query.goal for answer, *_ in self._joining}

    def last_found(self, goal: str) -> tuple[TrackedObject, ...]:
        """The objects of a goal in the last followed frame, those that were seen."""
        with self._lock:
            ids = {track.id for answer in self._answers.get(goal, ()) for track in answer.tracks}
            return tuple(item for item in self._found if item.id in ids and item.box)

    def follow(
        self, answer: FollowedAnswer, tracker: "Tracker", frame: Frame, *, beside: bool = False
    ) -> None:
        """Follow an answer's objects from now on; not if its query was stopped meanwhile.

        Args:
            answer: Its objects take the place of those of its goal.
            tracker: Follows them; it stands at `frame`.
            frame: The newest frame that was used.
            beside: Let the objects join those of the goal instead.
        """
        with self._lock:
            stopped = self._closed or answer.query.stop.is_set()
            if not stopped:
                self._joining.append((answer, tracker, beside))
                if not self._answers:
                    self._last_number = max(self._last_number, frame.number)
                    self._frame = frame
        if stopped:
            tracker.close()
            self._context.ids.release(answer.tracks)
        self._wake()

    def show(self, shown: ShownObjects) -> None:
        """Draw objects that somebody shows, and follow them beside those of their goal."""
        with self._lock:
            self._shown.append(shown)
        self._wake()

    def forget(self, goal: str | None = None) -> list[FollowedAnswer]:
        """Follow the objects of a goal no longer, or all of them; return what was followed."""
        with self._lock:
            goals = [goal] if goal is not None else [*self._answers]
            forgotten = [answer for name in goals for answer in self._answers.pop(name, [])]
            kept = []
            for joining in self._joining:
                if goal is None or joining[0].query.goal == goal:
                    forgotten.append(joining[0])
                else:
                    kept.append(joining)
            self._joining = kept
        self._context.ids.release(track for answer in forgotten for track in answer.tracks)
        self._report_followed()
        self._wake()
        return forgotten

    def remove(self, track_ids: Collection[int]) -> set[int]:
        """Follow single objects no longer; return the track ids of those that were followed."""
        removed = []
        with self._lock:
            for goal, answers in list(self._answers.items()):
                left = []
                for answer in answers:
                    kept = tuple(t for t in answer.tracks if t.track_id not in track_ids)
                    removed += [track for track in answer.tracks if track not in kept]
                    if kept:
                        left.append(FollowedAnswer(answer.query, kept, answer.reasoning))
                self._answers[goal] = left
                if not left:
                    del self._answers[goal]
        self._context.ids.release(removed)
        self._report_followed()
        self._wake()
        return {track.track_id for track in removed}

    def close(self) -> list[FollowedAnswer]:
        """Forget everything and wait until the thread has ended; return what was followed."""
        forgotten = self.forget()
        with self._lock:
            self._closed = True
        self._wake()
        self._thread.join()
        return forgotten

    def _wake(self) -> None:
        self._changed.set()
        self._context.frames.wake()

    def _report_followed(self) -> None:
        with self._lock:
            answers = [answer for group in self._answers.values() for answer in group]
        self._context.reporter.set_followed(answers)

    def _run(self) -> None:
        while not self._closed:
            self._changed.clear()
            try:
                self._draw_shown()
                self._join()
                if not self._answers:
                    self._changed.wait()
                elif frame := self._context.frames.wait(self._changed, after=self._last_number):
                    self._frame = frame
                    if self._context.params().follow:
                        self._track(frame)
                    elif forgotten := self.forget():
                        queries = [answer.query for answer in forgotten]
                        self._context.reporter.log_stopped(queries, "follow was set to false")
            except Exception as error:
                self._fail(error)
        self._close_tracker()
        self._draw_shown()

    def _draw_shown(self) -> None:
        with self._lock:
            waiting, self._shown = self._shown, []
        for shown in waiting:
            query = shown.query
            tracks: tuple[Track, ...] = ()
            try:
                if self._closed:
                    raise Stopped("the node was deactivated")
                limit = self._context.params().max_id
                with self._threads():
                    objects, tracks, tracker = draw_shown(
                        self._context.segzero, self._context.ids, shown, limit
                    )
                assert query.frame  # they were drawn in it
                self.follow(FollowedAnswer(query, tracks), tracker, query.frame, beside=True)
                shown.on_end(objects, tracks)
            except Exception as error:
                self._context.ids.release(tracks)
                shown.on_end(error, ())

    def _fail(self, error: Exception, *, all_but: Collection[str] = ()) -> None:
        """Forget the goals and publish why."""
        for goal in self.goals() - set(all_but):
            for answer in self.forget(goal):
                self._context.reporter.fail_following(answer.query, self._frame, error)

    def _join(self) -> None:
        """Let the tracker follow exactly what is to be followed."""
        with self._lock:
            joining, self._joining = self._joining, []
            dropped = []
            for answer, _, beside in joining:
                goal, now = answer.query.goal, time.monotonic()
                group = self._answers.get(goal, [])
                if not beside:
                    kept = {track.track_id for track in answer.tracks}
                    dropped += [t for old in group for t in old.tracks if t.track_id not in kept]
                    group = []
                self._answers[goal] = [*group, answer]
                self._answered_at[goal] = now
                self._last_seen.update((track.id, now) for track in answer.tracks)
            ids = {t.id for group in self._answers.values() for a in group for t in a.tracks}
        self._context.ids.release(dropped)
        for answer, tracker, _ in joining:
            if self._tracker and self._tracker.shape == tracker.shape:
                self._tracker.remove(tracker.ids)
                self._tracker.join(tracker)
            else:
                if self._tracker:
                    self._end_for_size(tracker.shape, newest=answer.query.goal)
                self._tracker = tracker
        if self._tracker:
            self._tracker.remove(set(self._tracker.ids) - ids)
            if not self._tracker.ids:
                self._close_tracker()
        if joining:
            self._report_followed()

    def _close_tracker(self) -> None:
        if self._tracker:
            self._tracker.close()
            self._tracker = None
        self._found = ()

    def _track(self, frame: Frame) -> None:
        """Track the objects into a frame and publish them; ask again if it is time."""
        self._context.reporter.count_skipped(frame.number - self._last_number - 1)
        self._last_number = frame.number
        try:
            image = frame.pixels()
        except ConversionError as error:
            self._context.reporter.report_bad_image(error)
            return
        found = self._step(image)
        with self._lock:
            self._found = found
            answers = [answer for group in self._answers.values() for answer in group]
        if not answers:
            return
        seen = [item for item in found if item.box]
        self._last_seen.update(dict.fromkeys((item.id for item in seen), frame.received))
        height, width = image.shape[:2]
        self._context.reporter.publish_tracked(answers, frame, (width, height), seen)
        for answer in answers:
            if self._is_due(answer):
                ids = {track.id for track in answer.tracks}
                known = tuple(item for item in seen if item.id in ids)
                if self._reask(answer, frame, known):
                    self._reasked_at[answer.query.goal] = time.monotonic()

    def _step(self, image: NDArray[np.uint8]) -> tuple[TrackedObject, ...]:
        if self._tracker and self._tracker.shape != image.shape:
            self._end_for_size(image.shape)
        if self._tracker is None:
            return ()
        with self._threads():
            return self._tracker.step(image)

    def _end_for_size(self, shape: tuple[int, ...], *, newest: str | None = None) -> None:
        """Close the tracker: it can't follow from one image size to another."""
        assert self._tracker
        (height, width), (rows, columns) = self._tracker.shape[:2], shape[:2]
        reason = f"the images changed from {width}x{height} to {columns}x{rows} pixels"
        others = self.goals() - {newest}
        self._close_tracker()
        if self._context.params().reask == "never":
            error = FollowingEnded(f"{reason}, objects can't be followed so: ask again")
            self._fail(error, all_but=[newest] if newest is not None else [])
        elif others:
            self._context.reporter.log(f"{reason}; it is asked again")
            self._last_seen = dict.fromkeys(self._last_seen, 0.0)

    def _is_due(self, answer: FollowedAnswer) -> bool:
        params, now = self._context.params(), time.monotonic()
        goal, earliest = answer.query.goal, now - params.reask_period
        if not answer.query.text or self._reasked_at.get(goal, 0.0) > earliest:
            return False
        if params.reask == "every":
            return self._answered_at[goal] <= earliest
        seen = [self._last_seen.get(track.id, 0.0) for track in answer.tracks]
        return params.reask == "on_lost" and any(now - at >= LOST_TIMEOUT for at in seen)
