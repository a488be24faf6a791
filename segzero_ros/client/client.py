"""The perception node for behaviour code: ask, stream the reasoning, wait, follow, cancel."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Self, TypeVar

from action_msgs.msg import GoalStatus
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from segzero.reasoning.prompts import clean_question
from segzero_ros.action import Segment
from segzero_ros.client.connection import Connection, NoAnswer
from segzero_ros.msg import Segmentation
from segzero_ros.srv import ClearGoal

Found = TypeVar("Found")

_STATES = {
    Segmentation.ANSWERED: "answered",
    Segmentation.TRACKED: "tracked",
    Segmentation.LOST: "lost",
    Segmentation.NOTHING: "nothing",
    Segmentation.FAILED: "failed",
    Segmentation.PARTIAL: "partial",
}


class Outcome(Enum):
    """How a query ended."""

    ANSWERED = "answered"
    NOTHING = "nothing"  # answered: nothing in the image matches
    FAILED = "failed"  # `segmentation.error_code` and `error` say why
    CANCELED = "canceled"  # by `QueryHandle.cancel`
    REPLACED = "replaced"  # a newer question replaced it


_FAILURES = {
    Segmentation.ERROR_REPLACED: Outcome.REPLACED,
    Segmentation.ERROR_CANCELLED: Outcome.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a query.

    Attributes:
        outcome: How it ended.
        segmentation: The node's result.
    """

    outcome: Outcome
    segmentation: Segmentation


class SegZeroClient:
    """Asks one perception node.

    It has its own node and thread, so that its methods may block anywhere: in a script or in a
    callback of another node. rclpy must be initialised. Close it when done, or use it in a `with`
    block.

    Args:
        node: Gives namespace, context and `use_sim_time`; it need not spin.
        perception: Name of the perception node, absolute or in the namespace.

    Attributes:
        perception: Full name of the perception node.
    """

    def __init__(self, node: Node | None = None, perception: str = "segzero") -> None:
        self._connection = Connection(node, perception)
        self.perception = self._connection.perception

    def ask(
        self,
        question: str,
        image: Image | None = None,
        timeout: float = 10.0,
        *,
        goal: str = "",
        request_id: str = "",
    ) -> "QueryHandle":
        """Send a question; it replaces the one of the same goal.

        Args:
            question: What to look for.
            image: The image to ask about instead of the camera's newest; its objects are not
                followed.
            timeout: Seconds to find the node.
            goal: Name of the goal; objects of other goals are followed on.
            request_id: Comes back in the results; one that nobody else uses by default.

        Raises:
            BadQuestion: The question is empty or too long; nothing was sent.
            NoAnswer: There is no active node.
        """
        clean_question(question)
        self._connection.connect(timeout)
        request = Segment.Goal(
            query=question,
            image=image or Image(),
            goal=goal,
            request_id=request_id or uuid.uuid4().hex,
        )
        return QueryHandle(self._connection, request)

    def clear(self, timeout: float = 10.0, *, goal: str | None = None) -> str:
        """Stop queries of the node and the following of objects, whoever asked.

        Args:
            timeout: Seconds.
            goal: Name of the goal to stop, empty for the default one; None stops all.

        Returns:
            What was stopped, in words.

        Raises:
            NoAnswer: The node doesn't respond in time.
        """
        connection = self._connection
        service = connection.clear if goal is None else connection.clear_goal
        request = Trigger.Request() if goal is None else ClearGoal.Request(goal=goal)
        missing = f"no answer of {service.srv_name} within {timeout:g} s: is the node active?"
        return str(connection.call(service, request, timeout, missing).message)

    def age(self, segmentation: Segmentation) -> float:
        """Return the seconds since the image's stamp, by the clock of the client's node.

        Without a usable stamp it is the image's age when the result was sent.
        """
        if segmentation.header.stamp.sec <= 0:
            return float(segmentation.latency)
        now = self._connection.node.get_clock().now()
        stamp = Time.from_msg(segmentation.header.stamp, now.clock_type)
        return float((now - stamp).nanoseconds / 1e9)

    def close(self) -> None:
        """Close the connection. A query under way goes on in the node."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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
        self._reply = Reply(_outcome(response.status, segmentation), segmentation)


def state_name(segmentation: Segmentation) -> str:
    """Return the state as a word: answered, tracked, lost, nothing, failed or partial."""
    return _STATES[segmentation.state]


def _outcome(status: int, segmentation: Segmentation) -> Outcome:
    if status == GoalStatus.STATUS_CANCELED:
        return Outcome.CANCELED
    if segmentation.state != Segmentation.FAILED:
        nothing = segmentation.state == Segmentation.NOTHING
        return Outcome.NOTHING if nothing else Outcome.ANSWERED
    return _FAILURES.get(segmentation.error_code, Outcome.FAILED)
