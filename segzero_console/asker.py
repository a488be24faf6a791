"""Answers questions one after the other, the newest of each goal, in one thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from segzero.pipeline import SegZero
from segzero.reasoning.thinking import ThinkingStream
from segzero.segmentation.matching import match_masks
from segzero.tracks import Track, TrackIds
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_console.backend import Ending, Question, Sink, error_code, error_text
from segzero_console.follower import Followed, Follower
from segzero_console.frames import CATCH_UP, FrameStore, History, Picture
from segzero_console.messages import Ended, Result, State
from segzero_console.tracks import draw_ids, shown

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

_LOG = logging.getLogger(__name__)
FIRST_PICTURE_TIMEOUT = 10.0
"""Seconds that a question waits for the first picture."""
MAX_QUESTIONS = 12
"""Open at once; pictures that pages drop in stay in memory until they are answered."""
_FRESH = 2.0
"""Seconds after which a camera's newer picture is asked about instead."""


@dataclass(slots=True, eq=False)
class _Job:
    """A question under way."""

    question: Question
    history: History | None
    known: tuple[TrackedObject, ...]
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    ending: Ending | None = None  # why it was stopped
    stream: ThinkingStream = field(default_factory=ThinkingStream)
    text: str = ""
    thought_at: float = 0.0
    written_at: float = 0.0
    tracks: list[Track] = field(default_factory=list)
    picture: Picture | None = None


class Asker:
    """A thread that asks.

    Args:
        segzero: Returns the models; called in the thread, may take a while, and raises an error
            when the event is set before.
        frames: The pictures.
        follower: Gets the objects.
        ids: Gives ids to the objects.
        sink: Gets the thinking and the results.
        threads: Returns a context in which to compute.
        live: Whether pictures come while it is thought; the objects are tracked through some of
            them. A video waits instead, and each of its pictures is followed.
    """

    def __init__(
        self,
        segzero: Callable[[threading.Event], SegZero],
        frames: FrameStore,
        follower: Follower,
        ids: TrackIds,
        sink: Sink,
        threads: Callable[[], AbstractContextManager[object]],
        *,
        live: bool,
    ) -> None:
        self._live = live
        self._segzero = segzero
        self._frames = frames
        self._follower = follower
        self._ids = ids
        self._sink = sink
        self._threads = threads
        self._change = threading.Condition()
        self._waiting: dict[str, _Job] = {}  # by goal, in the order of asking
        self._current: _Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="console-asker", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a question is open."""
        return bool(self._current or self._waiting)

    @property
    def following(self) -> bool:
        """Whether a question is open whose objects will be followed."""
        with self._change:
            return any(job.question.follow for job in self._jobs())

    def goals(self) -> set[str]:
        """The goals with an open question."""
        with self._change:
            return {job.question.goal for job in self._jobs()}

    def submit(self, question: Question) -> None:
        """Ask; an open question of the same goal is replaced.

        Raises:
            Ending: The request's id is in use.
        """
        job = _Job(
            question,
            self._frames.record() if question.follow and self._live else None,
            self._follower.known(question.goal) if question.follow else (),
        )
        if question.picture is None:
            job.picture = self._frames.newest()
        with self._change:
            if any(open_.question.request == question.request for open_ in self._jobs()):
                self._frames.release(job.history)
                raise Ending("bad_request", f"the request {question.request!r} is open already")
            if len(self._waiting) >= MAX_QUESTIONS:
                self._frames.release(job.history)
                raise Ending("busy", f"{MAX_QUESTIONS} questions are open: wait for some of them")
            displaced = [
                open_ for open_ in self._jobs()
                if open_.question.goal == question.goal and not question.private
                and not open_.question.private
            ]  # fmt: skip
            self._stop(displaced, Ending("replaced", "a newer question for the same goal came"))
            self._waiting[question.request] = job
            self._change.notify_all()

    def cancel(self, request: str) -> bool:
        """Stop the question of a request; False if there is none."""
        with self._change:
            jobs = [job for job in self._jobs() if job.question.request == request]
            self._stop(jobs, Ending("cancelled", "the question was cancelled"))
        return bool(jobs)

    def clear(self, goal: str | None) -> None:
        """Stop the questions of a goal, or all."""
        with self._change:
            jobs = [job for job in self._jobs() if goal in (None, job.question.goal)]
            self._stop(jobs, Ending("stopped", "the goal was stopped"))

    def close(self) -> None:
        """Stop everything and wait until the thread has ended."""
        with self._change:
            self._stop(list(self._jobs()), Ending("stopped", "the console ends"))
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _jobs(self) -> list[_Job]:
        current = [self._current] if self._current and not self._current.ending else []
        return [*current, *self._waiting.values()]

    def _stop(self, jobs: Sequence[_Job], reason: Ending) -> None:
        for job in jobs:
            job.ending = reason
            job.stop.set()
            if self._waiting.pop(job.question.request, None):
                self._end(job, reason)
        self._frames.wake()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                job = self._waiting.pop(next(iter(self._waiting)))
                self._current = job
            try:
                self._answer(job)
            except Exception as error:
                if job.ending is None and error_code(error) == "model":
                    _LOG.error("a question failed", exc_info=error)
                self._end(job, job.ending or error)
            finally:
                self._current = None

    def _answer(self, job: _Job) -> None:
        question = job.question
        segzero = self._segzero(job.stop)
        job.picture = picture = question.picture or self._fresh_picture(job)
        self._frames.keep(picture)
        job.started = time.monotonic()
        result = segzero.ask(
            picture.rgb,
            question.text,
            on_text=lambda piece: self._hear(job, piece),
            on_objects=lambda objects: self._report_partial(job, objects),
            stop=job.stop,
        )
        if job.ending:
            raise job.ending
        done = time.monotonic()
        seconds = {
            "waiting": job.started - job.submitted,
            "thinking": (job.thought_at or done) - job.started,
            "answer": max(0.0, (job.written_at or done) - (job.thought_at or done)),
            "masks": done - (job.written_at or done),
        }
        objects = self._identify(job, result.objects)
        self._report(job, "answered" if objects else "nothing", objects, seconds)
        self._sink.ended(
            Ended(
                question.request,
                question.goal,
                "answered" if objects else "nothing",
                result.reasoning,
                seconds=seconds,
                objects=len(objects),
                question=question.text,
            )
        )
        if not (objects and question.follow):
            self._release(job)
            return
        self._start_following(segzero, job, result, objects)

    def _fresh_picture(self, job: _Job) -> Picture:
        """The picture that was newest when the question came, if it is not too old by now."""
        picture = job.picture
        if picture is None or time.monotonic() - picture.received > _FRESH:
            picture = self._frames.newest()
        if picture is None:
            picture = self._frames.wait(0, FIRST_PICTURE_TIMEOUT, job.stop)
        if picture is None:
            raise job.ending or Ending(
                "no_image", f"no picture came within {FIRST_PICTURE_TIMEOUT:g} s"
            )
        return picture

    def _hear(self, job: _Job, piece: str) -> None:
        text = job.stream.feed(piece)
        job.written_at = time.monotonic()
        if job.stream.ended and not job.thought_at:
            job.thought_at = job.written_at
        self._say(job, text)

    def _say(self, job: _Job, text: str) -> None:
        text = text if job.text else text.lstrip()
        if text and not job.ending:
            job.text += text
            self._sink.thinking(job.question.request, job.question.goal, text)

    def _report_partial(self, job: _Job, objects: Sequence[SegmentedObject]) -> None:
        if not job.stop.is_set():
            self._report(job, "partial", self._identify(job, objects), {})

    def _identify(
        self, job: _Job, objects: Sequence[SegmentedObject]
    ) -> tuple[SegmentedObject, ...]:
        """Give the objects the ids of the followed objects that they are, or new ones."""
        taken = {track.id for track in job.tracks}
        known = [item for item in job.known if item.id not in taken]
        new = objects[len(job.tracks) :]
        matches = match_masks([item.mask for item in new], [item.mask for item in known])
        kept = [None if match is None else known[match].id for match in matches]
        labels = [item.label or job.question.text for item in new]
        job.tracks += filter(None, self._ids.assign(job.question.goal, labels, kept))
        return tuple(
            replace(item, id=track.id) for item, track in zip(objects, job.tracks, strict=False)
        )

    def _report(
        self,
        job: _Job,
        state: State,
        objects: Sequence[SegmentedObject],
        seconds: dict[str, float],
    ) -> None:
        picture, question = job.picture, job.question
        assert picture
        result = Result(
            stamp=picture.stamp,
            state=state,
            request=question.request,
            goal=question.goal,
            objects=shown(job.tracks[: len(objects)], objects),
            mask=draw_ids(objects, picture.size) if objects else None,
            latency=time.monotonic() - picture.received,
            seconds=seconds,
        )
        self._sink.result(result, picture)

    def _start_following(
        self, segzero: SegZero, job: _Job, result: Segmentation, objects: Sequence[SegmentedObject]
    ) -> None:
        """Track the objects to the present, beside those that are followed; then hand them over."""
        picture, question = job.picture, job.question
        assert picture
        try:
            with self._threads():
                tracker = segzero.track(picture.rgb, objects)
                picture = self._catch_up(job, tracker, picture)
            if job.ending:
                tracker.close()
                self._release(job)
                return
        except Exception as error:
            self._release(job)
            self._sink.trouble("the objects can't be followed", error)
            return
        followed = Followed(question.goal, question.text, question.request, tuple(job.tracks))
        self._follower.follow(followed, tracker, picture)

    def _catch_up(self, job: _Job, tracker: "Tracker", picture: Picture) -> Picture:
        recorded = [
            later
            for later in self._frames.release(job.history)
            if later.number > picture.number and later.rgb.shape == picture.rgb.shape
        ]
        step = max(1, -(-len(recorded) // CATCH_UP))
        for later in recorded[step - 1 :: step]:
            if job.stop.is_set():
                break
            tracker.step(later.rgb)
            picture = later
        return picture

    def _release(self, job: _Job) -> None:
        """Take back the ids of objects that will not be followed; those before them still are."""
        kept = {item.id for item in job.known}
        self._ids.release(track for track in job.tracks if track.id not in kept)
        self._frames.release(job.history)

    def _end(self, job: _Job, error: Exception) -> None:
        """End a question without an answer."""
        self._say(job, job.stream.end())
        self._release(job)
        question, code = job.question, error_code(error)
        self._sink.ended(
            Ended(
                question.request,
                question.goal,
                "failed",
                job.text.strip(),
                code,
                error_text(error),
                question=question.text,
            )
        )
