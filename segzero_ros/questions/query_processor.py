"""From a query to its answer and to the following of its objects, outside the callbacks."""

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import replace

from sensor_msgs.msg import Image

from segzero.errors import SegZeroError
from segzero.reasoning.prompts import clean_question
from segzero.types import Segmentation, TrackedObject
from segzero_ros.images.frames import Frame
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
)
from segzero_ros.questions.object_follower import ObjectFollower
from segzero_ros.questions.query_context import QueryContext
from segzero_ros.questions.query_pipeline import QueryPipeline, age, share_cores
from segzero_ros.questions.worker import Worker


class QueryProcessor:
    """Answers queries in turn, the newest of each goal, and follows their objects meanwhile.

    Call it from one thread at a time. Answers are computed in one thread, and the objects of all
    goals are followed in another, so that a question never takes the masks away.

    Args:
        context: What its threads share.
    """

    def __init__(self, context: QueryContext) -> None:
        self._context = context
        self._follower = ObjectFollower(
            context,
            threads=lambda: share_cores(beside=self._worker.busy or context.turns.taken),
            reask=self._reask,
        )
        self._pipeline = QueryPipeline(context, self._follower)
        self._worker: Worker[Query, Segmentation] = Worker(
            self._pipeline.answer,
            self._pipeline.deliver,
            self._pipeline.follow,
            on_stop=self._wake,
            on_error=context.reporter.report_error,
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
        frame = Frame(image, now) if image else self._context.frames.newest()
        return Query(
            query_id, text, frame, now, goal=goal, request_id=request_id, follow=image is None
        )

    def ask(self, query: Query) -> None:
        """Answer `query` instead of its goal's current one; a bad one leaves that one running."""
        try:
            clean_question(query.text)
            self._check_goals(query.goal)
        except SegZeroError as error:
            self._context.reporter.finish_query(query, error)
            return
        params = self._context.params()
        if query.follow and params.follow:
            query.history = self._context.frames.record(params.history)
            query.known = self._follower.last_found(query.goal)
        self._context.reporter.begin_query(query)
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
            self._context.reporter.log_stopped(followed, reason)
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
        frame, most = shown.query.frame, self._context.params().max_frame_age
        if frame is None:
            raise NoFrame("no image came yet")
        if shown.query.follow and age(frame) > most:
            raise StaleFrame(
                f"the newest image is {age(frame):.1f} s old, max_frame_age allows {most:g} s"
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
        followed = [answer.query for answer in self._follower.close()]
        self._context.reporter.log_stopped(followed, reason)

    def _check_goals(self, goal: str) -> None:
        goals = self._follower.goals() | self._worker.open_keys()
        most = self._context.params().max_goals
        if goal not in goals and len(goals) >= most:
            raise TooManyGoals(
                f"{most} goals are in use, as many as max_goals allows: clear one with "
                "~/clear_goal, or set max_goals higher"
            )

    def _finish(self, queries: Iterable[Query], error: Stopped) -> list[Query]:
        """End queries without an answer; a repeated one had its answer before."""
        ended = []
        for query in queries:
            self._context.frames.release(query.history)
            self._pipeline.release(query)
            if not query.repeated:
                self._context.reporter.finish_query(query, error)
                ended.append(query)
        return ended

    def _wake(self) -> None:
        """Let the worker look at its query's `stop`."""
        self._context.frames.wake()
        self._context.turns.wake()

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
        query.history = self._context.frames.record(self._context.params().history)
        asked = self._worker.submit_if_free(query.goal, query)
        if not asked:
            self._context.frames.release(query.history)
        return asked
