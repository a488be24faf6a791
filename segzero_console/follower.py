"""Follows the objects of all goals through a source's pictures, in one thread and one tracker."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzero.tracks import Track, TrackIds
from segzero.types import TrackedObject
from segzero_console.backend import Ending, FollowedGoal, Sink, error_code, error_text
from segzero_console.frames import FrameStore, Picture
from segzero_console.messages import Result
from segzero_console.tracks import draw_ids, shown

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

_LOG = logging.getLogger(__name__)
_POLL = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Objects that were found by one question, or shown at once.

    Attributes:
        goal: Of the question.
        question: Its text; empty if they were shown.
        request: The page's id of it.
        tracks: The objects.
    """

    goal: str
    question: str
    request: str
    tracks: tuple[Track, ...]


class Follower:
    """A thread that follows what it is given, until it is told to forget it.

    Args:
        frames: The pictures.
        ids: Gets back the ids of objects that are followed no longer.
        sink: Gets every followed frame.
        threads: Returns a context in which to compute.
    """

    def __init__(
        self,
        frames: FrameStore,
        ids: TrackIds,
        sink: Sink,
        threads: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._frames = frames
        self._ids = ids
        self._sink = sink
        self._threads = threads
        self._change = threading.Condition()
        # By the lock:
        self._followed: list[Followed] = []
        self._joining: list[tuple[Followed, Tracker, Picture, bool]] = []
        self._found: tuple[TrackedObject, ...] = ()
        self._last = 0  # number of the newest picture that was used
        self._steps = 0
        self._closed = False
        self._stop = threading.Event()
        self._tracker: Tracker | None = None  # the thread's own
        self._thread = threading.Thread(target=self._run, name="console-follower", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether anything is followed."""
        with self._change:
            return bool(self._followed or self._joining)

    @property
    def steps(self) -> int:
        """How many frames were followed."""
        return self._steps

    def goals(self) -> list[FollowedGoal]:
        """The goals whose objects are followed."""
        with self._change:
            every = [*self._followed, *(entry[0] for entry in self._joining)]
            return [
                FollowedGoal(goal, next((f.question for f in every if f.goal == goal), ""))
                for goal in dict.fromkeys(followed.goal for followed in every)
            ]

    def known(self, goal: str) -> tuple[TrackedObject, ...]:
        """The objects of a goal in the last followed frame, those that were seen."""
        with self._change:
            ids = {t.id for f in self._followed if f.goal == goal for t in f.tracks}
            return tuple(item for item in self._found if item.id in ids and item.box)

    def follow(
        self, followed: Followed, tracker: "Tracker", picture: Picture, *, beside: bool = False
    ) -> None:
        """Follow objects from now on.

        Args:
            followed: The objects; they take the place of those of their goal.
            tracker: Follows them; it stands at `picture`.
            picture: The newest one that was used.
            beside: Let them join those of the goal instead.
        """
        with self._change:
            self._joining.append((followed, tracker, picture, beside))
            self._change.notify_all()
        self._frames.wake()

    def forget(self, goal: str | None = None) -> None:
        """Follow the objects of a goal no longer, or all of them."""
        with self._change:
            gone = [f for f in self._followed if goal in (None, f.goal)]
            gone += [entry[0] for entry in self._joining if goal in (None, entry[0].goal)]
            self._followed = [f for f in self._followed if f not in gone]
            self._joining = [entry for entry in self._joining if entry[0] not in gone]
            self._change.notify_all()
        self._ids.release(track for f in gone for track in f.tracks)

    def remove(self, track_ids: Collection[int]) -> None:
        """Follow single objects no longer."""
        removed: list[Track] = []
        with self._change:
            left = []
            for followed in self._followed:
                kept = tuple(t for t in followed.tracks if t.track_id not in track_ids)
                removed += [t for t in followed.tracks if t not in kept]
                if kept:
                    left.append(Followed(followed.goal, followed.question, followed.request, kept))
            self._followed = left
            self._change.notify_all()
        self._ids.release(removed)

    def wait_for(self, number: int, stop: threading.Event) -> None:
        """Wait until a picture was followed, or nothing is followed any more."""
        with self._change:
            while not stop.is_set() and not self._closed:
                if not (self._followed or self._joining) or self._last >= number:
                    return
                self._change.wait(_POLL)

    def close(self) -> None:
        """Forget everything and wait until the thread has ended."""
        self.forget()
        with self._change:
            self._closed = True
            self._stop.set()
            self._change.notify_all()
        self._frames.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._join()
                if not self._followed:
                    with self._change:
                        if not self._joining and not self._closed:
                            self._change.wait(_POLL)
                elif picture := self._frames.wait(self._last, _POLL, self._stop):
                    self._track(picture)
            except Exception as error:
                self._fail(error)
        self._close_tracker()

    def _join(self) -> None:
        """Let the tracker follow exactly what is to be followed."""
        with self._change:
            joining, self._joining = self._joining, []
            replaced: list[Followed] = []
            for followed, _, picture, beside in joining:
                if not beside:
                    replaced += [f for f in self._followed if f.goal == followed.goal]
                    self._followed = [f for f in self._followed if f.goal != followed.goal]
                if not self._followed:
                    self._last = picture.number
                self._followed.append(followed)
            ids = {track.id for f in self._followed for track in f.tracks}
        self._ids.release(t for f in replaced for t in f.tracks if t.id not in ids)
        for followed, tracker, _, _ in joining:
            if self._tracker and self._tracker.shape == tracker.shape:
                self._tracker.remove(tracker.ids)
                self._tracker.join(tracker)
            else:
                if self._tracker:
                    self._end_others(followed)
                self._close_tracker()
                self._tracker = tracker
        if self._tracker:
            self._tracker.remove(set(self._tracker.ids) - ids)
            if not self._tracker.ids:
                self._close_tracker()

    def _end_others(self, newest: Followed) -> None:
        for goal in {f.goal for f in self._followed} - {newest.goal}:
            self.forget(goal)
        self._sink.notice("warn", "the pictures have another size: earlier objects are forgotten")

    def _track(self, picture: Picture) -> None:
        with self._change:
            followed = list(self._followed)
        if self._tracker is None or not followed:
            self._settle(picture, ())
            return
        if self._tracker.shape != picture.rgb.shape:
            self._settle(picture, ())
            raise Ending(
                "following_ended",
                "the pictures have another size now, objects can't be followed so: ask again",
            )
        with self._threads():
            found = self._tracker.step(picture.rgb)
        with self._change:
            followed = list(self._followed)
        tracks = [track for f in followed for track in f.tracks]
        ids = {track.id for track in tracks}
        seen = [item for item in found if item.box and item.id in ids]
        if tracks:
            result = Result(
                stamp=picture.stamp,
                state="tracked" if seen else "lost",
                objects=shown(tracks, seen),
                mask=draw_ids(seen, picture.size),
                latency=time.monotonic() - picture.received,
            )
            self._sink.result(result, picture)
        self._settle(picture, found)

    def _settle(self, picture: Picture, found: tuple[TrackedObject, ...]) -> None:
        with self._change:
            self._found = found
            self._last = picture.number
            self._steps += 1
            self._change.notify_all()

    def _fail(self, error: Exception) -> None:
        """Forget everything and say why."""
        if not isinstance(error, Ending):
            _LOG.error("following failed", exc_info=error)
        with self._change:
            followed = [*self._followed, *(entry[0] for entry in self._joining)]
            self._last = max(self._last, self._frames.count)
        for item in followed:
            self._sink.result(
                Result(
                    stamp=0,
                    state="failed",
                    request=item.request,
                    goal=item.goal,
                    error_code=error_code(error),
                    error=error_text(error),
                ),
                None,
            )
        self.forget()
        self._close_tracker()

    def _close_tracker(self) -> None:
        tracker, self._tracker = self._tracker, None
        with self._change:
            self._found = ()
        if tracker:
            try:
                tracker.close()
            except Exception as error:  # the thread goes on: others are followed with a new one
                self._sink.trouble("memory of followed objects can't be freed", error)
