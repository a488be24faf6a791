"""From question to answer and on from frame to frame, off the callbacks."""

import time
from collections.abc import Callable
from threading import Event

from sensor_msgs.msg import Image

from segzero.errors import SegZeroError
from segzero.pipeline import SegZero
from segzero.reasoning.prompts import clean_question
from segzero.types import Segmentation
from segzero_ros.images.frames import Frame, LatestFrame
from segzero_ros.parameters import Parameters
from segzero_ros.query import NoFrame, Query, Replaced, Stopped
from segzero_ros.questions.object_follower import ObjectFollower
from segzero_ros.questions.worker import Worker
from segzero_ros.results.reporter import Reporter


class QueryProcessor:
    """Answers the newest question and follows what it found; call it from one thread at a time.

    reporter: told once about every question's end, and about every followed frame, from the
    caller's or the worker's thread.
    wanted: returns the parameters as they are now.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        params: Callable[[], Parameters],
        reporter: Reporter,
    ) -> None:
        self._segzero = segzero
        self._frames = frames
        self._params = params
        self._reporter = reporter
        self._worker = Worker(self._answer, reporter.ended, self._follow, frames.wake)

    def question(self, question_id: int, text: str, image: Image | None = None) -> Query:
        """Make a question about the newest frame, or about `image`, for `ask`."""
        now = time.monotonic()
        frame = Frame(image, now) if image else self._frames.newest()
        return Query(question_id, text, frame, now, follow=image is None)

    def ask(self, question: Query) -> None:
        """Answer `question` instead of the one under way, which a bad question leaves alone."""
        try:
            clean_question(question.text)
        except SegZeroError as error:
            self._reporter.ended(question, error)
            return
        params = self._params()
        if question.follow and params.follow:
            question.history = self._frames.record(params.history)
        displaced = self._worker.submit(question)
        self._end(displaced, Replaced(f"replaced by question {question.id}"))

    def stop(self, reason: str) -> tuple[list[Query], list[Query]]:
        """Give up what is under way; return the questions not yet answered, and those followed."""
        unanswered, followed = self._worker.cancel()
        self._end(unanswered, Stopped(reason))
        return unanswered, followed

    def close(self, reason: str) -> None:
        """Give up what is under way and wait until nothing runs any more."""
        self._end(self._worker.close(), Stopped(reason))

    def _end(self, questions: list[Query], error: Stopped) -> None:
        for question in questions:
            self._frames.release(question.history)
            self._reporter.ended(question, error)

    def _answer(self, question: Query, stop: Event) -> Segmentation:
        if question.frame is None:
            timeout = self._params().first_frame_timeout
            question.frame = self._frames.wait(stop, timeout)
            if question.frame is None:
                raise NoFrame(f"no image came within {timeout:g} s")
        self._reporter.begin_inference(question.frame)
        return self._segzero.ask(
            question.frame.pixels(),
            question.text,
            on_text=lambda piece: self._reporter.publish_reasoning(question, piece),
            stop=stop,
        )

    def _follow(self, question: Query, result: Segmentation | Exception, stop: Event) -> None:
        try:
            if not isinstance(result, Segmentation) or not result.objects:
                return
            if question.follow and self._params().follow:
                ObjectFollower(
                    self._segzero, self._frames, self._params, self._reporter, question, stop
                ).run(result.objects)
        finally:
            self._frames.release(question.history)
