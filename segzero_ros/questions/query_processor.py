"""From a query to its answer and to the following of its objects, outside the callbacks."""

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
    """Answers the newest query and follows its objects; call it from one thread at a time.

    Args:
        segzero: The loaded models.
        frames: The camera's newest frame.
        params: Returns the current parameters.
        reporter: Gets the end of every query and every followed frame, from the caller's or the
            worker's thread.
    """

    def __init__(
        self,
        segzero: SegZero,
        frames: LatestFrame,
        params: Callable[[], Parameters],
        reporter: Reporter,
    ) -> None:
        self.params = params
        self._segzero = segzero
        self._frames = frames
        self._reporter = reporter
        self._worker = Worker(self._answer, reporter.finish_query, self._follow, frames.wake)

    def make_query(self, query_id: int, text: str, image: Image | None = None) -> Query:
        """Make a query for `ask`.

        Args:
            query_id: Counts the queries of the node.
            text: The question.
            image: The image that it is about; None for the camera's newest frame.
        """
        now = time.monotonic()
        frame = Frame(image, now) if image else self._frames.newest()
        return Query(query_id, text, frame, now, follow=image is None)

    def ask(self, query: Query) -> None:
        """Answer `query` instead of the current one; a bad question leaves that one running."""
        try:
            clean_question(query.text)
        except SegZeroError as error:
            self._reporter.finish_query(query, error)
            return
        params = self.params()
        if query.follow and params.follow:
            query.history = self._frames.record(params.history)
        self._reporter.begin_query(query)
        displaced = self._worker.submit(query)
        self._finish(displaced, Replaced(f"replaced by question {query.id}"))

    def stop(self, reason: str) -> tuple[list[Query], Query | None]:
        """Stop the queries under way.

        Args:
            reason: The error text of those without an answer.

        Returns:
            The queries that were not yet answered, and the one whose objects were followed.
        """
        unanswered, followed = self._worker.cancel()
        self._finish(unanswered, Stopped(reason))
        return unanswered, followed

    def close(self, reason: str) -> None:
        """Stop the queries under way and wait for the worker's end.

        Args:
            reason: The error text of those without an answer.
        """
        self._finish(self._worker.close(), Stopped(reason))

    def _finish(self, queries: list[Query], error: Stopped) -> None:
        for query in queries:
            self._frames.release(query.history)
            self._reporter.finish_query(query, error)

    def _answer(self, query: Query, stop: Event) -> Segmentation:
        if query.frame is None:
            timeout = self.params().first_frame_timeout
            query.frame = self._frames.wait(stop, timeout)
            if query.frame is None:
                raise NoFrame(f"no image came within {timeout:g} s")
        self._reporter.begin_inference(query.frame)
        return self._segzero.ask(
            query.frame.pixels(),
            query.text,
            on_text=lambda piece: self._reporter.publish_reasoning(query, piece),
            stop=stop,
        )

    def _follow(self, query: Query, result: Segmentation | Exception, stop: Event) -> None:
        try:
            if not isinstance(result, Segmentation) or not result.objects:
                return
            if query.follow and self.params().follow:
                ObjectFollower(
                    self._segzero, self._frames, self.params, self._reporter, query, stop
                ).run(result.objects)
        finally:
            self._frames.release(query.history)
