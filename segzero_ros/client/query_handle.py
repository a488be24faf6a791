"""A question under way: its reasoning, its end, the frames after it."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from rclpy.action.client import ClientGoalHandle

from segzero_ros.action import Segment
from segzero_ros.client.connection import Connection, NoAnswer
from segzero_ros.client.reply import Outcome, Reply, outcome_of
from segzero_ros.msg import Segmentation

Found = TypeVar("Found")


class QueryHandle:
    """A question that was sent; `SegZeroClient.ask` returns it."""

    def __init__(self, connection: Connection, goal: Segment.Goal) -> None:
        self._connection = connection
        self._goal = goal
        self._text = ""
        self._reply: Reply | None = None
        self._handle: ClientGoalHandle | None = None
        self._cancelled = False
        # Since `listen`: the newest frame of this query, counted, and what ended the following.
        self._newest: Segmentation | None = None
        self._frames = 0
        self._ended: Segmentation | None = None
        self._servers = connection.servers()
        connection.call_async(
            lambda: connection.segment.send_goal_async(goal, self._on_feedback), self._on_handle
        )

    @property
    def request_id(self) -> str:
        """The id that the results for this question carry."""
        return str(self._goal.request_id)

    @property
    def text(self) -> str:
        """The reasoning so far."""
        return self._text

    @property
    def done(self) -> bool:
        """Whether the query has ended; its objects may still be followed."""
        return self._reply is not None

    def stream(self, timeout: float = 60.0) -> Iterator[str]:
        """Stream the reasoning until the query ends.

        Args:
            timeout: Seconds for all of it.

        Yields:
            The next piece of text.

        Raises:
            NoAnswer: The query has not ended in time, or the node has gone.
        """
        deadline, read = time.monotonic() + timeout, 0
        while True:
            more = partial(self._has_more, read)
            self._wait_for(more, deadline - time.monotonic(), "no answer in time")
            piece = self._text[read:]
            if not piece:
                return
            read += len(piece)
            yield piece

    def wait(self, timeout: float = 60.0) -> Reply:
        """Wait for the end of the query, also after `cancel`.

        Args:
            timeout: Seconds; the query goes on after them, and can be waited for again.

        Raises:
            NoAnswer: The query has not ended in time, or the node has gone.
        """
        self._wait_for(lambda: self.done, timeout, "no answer in time")
        assert self._reply is not None
        return self._reply

    def cancel(self) -> None:
        """Stop the model within a token if the query has not ended. Returns at once."""
        with self._connection.change:
            self._cancelled = True
            if self._handle and not self.done:
                self._connection.call_async(self._handle.cancel_goal_async)

    def latest(self) -> Segmentation | None:
        """Return the newest segmentation for this query: the answer, or a later frame."""
        self._connection.listen(self._on_segmentation)
        if self._reply is None:
            return None
        return self._newest or self._reply.segmentation

    def follow(self, timeout: float = 10.0) -> Iterator[Segmentation]:
        """Wait for the answer, then stream the segmentations of the frames after it.

        They hold the objects of all goals. Frames that come while the caller is busy are skipped.
        The stream ends when another question for the same goal has found something; at once, if
        this one found nothing.

        Args:
            timeout: Seconds for the answer, and then for each frame.

        Yields:
            The segmentation of the newest frame.

        Raises:
            NoAnswer: None came in time, or the node ended the following.
        """
        if self._goal.image.width:
            raise NoAnswer("nothing is followed after an image of its own: ask about the camera's")
        self._connection.listen(self._on_segmentation)
        outcome, read = self.wait(timeout).outcome, 0
        while outcome is Outcome.ANSWERED:
            more = partial(self._has_news, read)
            self._wait_for(
                more,
                timeout,
                f"no frame was followed for {timeout:g} s: does the camera run, is `follow` set, "
                "were the objects cleared?",
            )
            if self._ended:
                if self._ended.state == Segmentation.FAILED:
                    raise NoAnswer(self._ended.error)
                return
            read, newest = self._frames, self._newest
            assert newest
            yield newest

    def _has_news(self, read: int) -> bool:
        return self._frames > read or self._ended is not None

    def _on_segmentation(self, message: Segmentation) -> None:
        """Keep a result if it is about this query; called for each one, in order."""
        followed = any(goal.request_id == self.request_id for goal in message.goals)
        own = message.request_id == self.request_id
        if message.error_code == Segmentation.ERROR_FOLLOWING_ENDED:
            if own:
                self._ended = message
        elif followed or (own and message.state == Segmentation.ANSWERED):
            self._newest, self._frames = message, self._frames + followed
        elif (
            message.state == Segmentation.ANSWERED
            and message.goal == self._goal.goal
            and self._reply
            and message.query_id > self._reply.segmentation.query_id
        ):
            self._ended = message

    def _has_more(self, read: int) -> bool:
        return self.done or len(self._text) > read

    def _wait_for(
        self, condition: Callable[[], Found | None], timeout: float, missing: str
    ) -> Found:
        """Connection.wait_for, while the node is active."""
        name = self._connection.perception

        def alive() -> Found | None:
            if found := condition():
                return found
            if self._handle and not self._handle.accepted:
                raise NoAnswer(f"{name} refused the question: it is not active")
            if not self._servers & self._connection.servers():
                raise NoAnswer(f"{name} has gone or was deactivated: start it and ask again")
            return None

        return self._connection.wait_for(alive, timeout, missing)

    def _on_feedback(self, message: Any) -> None:
        with self._connection.change:
            self._text = (self._text + message.feedback.text).lstrip()
            self._connection.change.notify_all()

    def _on_handle(self, handle: ClientGoalHandle) -> None:
        self._handle = handle
        if handle.accepted:
            self._connection.call_async(handle.get_result_async, self._on_result)
            if self._cancelled:
                self.cancel()

    def _on_result(self, response: Any) -> None:
        segmentation = response.result.segmentation
        if segmentation.reasoning.startswith(self._text.rstrip()):
            self._text = segmentation.reasoning  # the result may overtake the last pieces
        self._reply = Reply(outcome_of(response.status, segmentation), segmentation)
