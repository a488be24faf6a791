"""The perception node for behaviour code: ask, read along, wait, follow, cancel."""

import time
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

Found = TypeVar("Found")


class Outcome(Enum):
    """How a question ended."""

    ANSWERED = "answered"
    NOTHING = "nothing"  # answered: nothing in the image matches
    FAILED = "failed"  # `segmentation.error` says why
    CANCELED = "canceled"  # by `Question.cancel`
    REPLACED = "replaced"  # a newer question took its place


@dataclass(frozen=True, slots=True)
class Reply:
    """How a question ended, and the node's last word on it."""

    outcome: Outcome
    segmentation: Segmentation


class SegZeroClient:
    """Asks one perception node.

    It has a node and a thread of its own, so that its methods may block anywhere: in a script, or
    in a callback of a node that somebody spins. rclpy must be initialised. Close it when done, or
    use it in a `with` block.

    node: gives namespace, context and `use_sim_time`; nobody needs to spin it.
    perception: name of the perception node, absolute or in the namespace.
    """

    def __init__(self, node: Node | None = None, perception: str = "segzero") -> None:
        self._connection = Connection(node, perception)
        self.perception = self._connection.perception

    def ask(
        self, question: str, image: Image | None = None, timeout: float = 10.0
    ) -> "QueryHandle":
        """Ask; returns once the question is sent. It takes the place of the one under way.

        image: asked about instead of the camera's newest; nothing is followed then.
        timeout: seconds for finding the node.

        Raises BadQuestion before anything is sent, and NoAnswer if no active node is found.
        """
        clean_question(question)
        self._connection.connect(timeout)
        return QueryHandle(self._connection, Segment.Goal(query=question, image=image or Image()))

    def clear(self, timeout: float = 10.0) -> str:
        """Let the node forget what it follows, whoever asked; returns what it says.

        timeout: seconds. Raises NoAnswer.
        """
        missing = f"no answer of {self.perception}/clear within {timeout:g} s: is the node active?"
        request = Trigger.Request()
        return str(self._connection.call(self._connection.clear, request, timeout, missing).message)

    def age(self, segmentation: Segmentation) -> float:
        """Seconds since the image's stamp, by the clock of the client's node."""
        now = self._connection.node.get_clock().now()
        stamp = Time.from_msg(segmentation.header.stamp, now.clock_type)
        return float((now - stamp).nanoseconds / 1e9)

    def close(self) -> None:
        """Stop listening. A question under way goes on."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class QueryHandle:
    """A question that was sent; `SegZeroClient.ask` makes it."""

    def __init__(self, connection: Connection, goal: Segment.Goal) -> None:
        self._connection = connection
        self._own_image = goal.image.width > 0
        self._text = ""
        self._reply: Reply | None = None
        self._handle: ClientGoalHandle | None = None
        self._cancelled = False
        self._servers = connection.servers()
        connection.call_async(
            lambda: connection.segment.send_goal_async(goal, self._on_feedback), self._on_handle
        )

    @property
    def text(self) -> str:
        """The thinking so far."""
        return self._text

    @property
    def done(self) -> bool:
        """Whether the question has ended; following may go on."""
        return self._reply is not None

    def stream(self, timeout: float = 60.0) -> Iterator[str]:
        """Yield the thinking, piece by piece, until the question ends.

        timeout: seconds for the whole of it. Raises NoAnswer as `wait` does.
        """
        deadline, told = time.monotonic() + timeout, 0
        while True:
            more = partial(self._has_more, told)
            self._until(more, deadline - time.monotonic(), "no answer in time")
            piece = self._text[told:]
            if not piece:
                return
            told += len(piece)
            yield piece

    def wait(self, timeout: float = 60.0) -> Reply:
        """Wait for the end of the question, also after `cancel`.

        timeout: seconds; the question goes on after them, and can be waited for again.
        Raises NoAnswer if it has not ended in time or the node has gone.
        """
        self._until(lambda: self.done, timeout, "no answer in time")
        assert self._reply is not None
        return self._reply

    def cancel(self) -> None:
        """Stop the model within a token, if it is still at it. Returns at once."""
        with self._connection.change:
            self._cancelled = True
            if self._handle and not self.done:
                self._connection.call_async(self._handle.cancel_goal_async, _ignore)

    def latest(self) -> Segmentation | None:
        """The newest segmentation for this question: the answer, or a frame that was followed."""
        self._connection.listen()
        if self._reply is None:
            return None
        answer, newest = self._reply.segmentation, self._connection.newest
        return newest if newest and newest.query_id == answer.query_id else answer

    def follow(self, timeout: float = 10.0) -> Iterator[Segmentation]:
        """Wait for the answer, then yield the segmentation of the newest frame, again and again.

        Frames that come while the caller is busy are skipped. Ends when another question is
        answered instead; at once, if this one found nothing to follow.
        timeout: seconds for the answer, and then for each frame.
        Raises NoAnswer if none comes in time, or if the node gives up.
        """
        if self._own_image:
            raise NoAnswer("nothing is followed in an image of one's own: ask about the camera's")
        self._connection.listen()
        reply = self.wait(timeout)
        last = reply.segmentation
        while reply.outcome is Outcome.ANSWERED:
            news = self._until(
                partial(self._news, last),
                timeout,
                f"no frame was followed for {timeout:g} s: does the camera run, is `follow` set, "
                "were the objects cleared?",
            )
            if news.query_id != last.query_id:
                return
            if news.state == Segmentation.FAILED:
                raise NoAnswer(news.error)
            last = news
            yield last

    def _has_more(self, told: int) -> bool:
        return self.done or len(self._text) > told

    def _news(self, last: Segmentation) -> Segmentation | None:
        """What was heard after `last`: of this question, or of another that took its place."""
        newest = self._connection.newest
        if newest is None:
            return None
        if newest.query_id == last.query_id:
            # A frame that is asked about again has two results, followed and answered.
            heard = newest.header.stamp == last.header.stamp and newest.state == last.state
            return None if heard else newest
        # One that failed may have been refused, while this one goes on.
        replaced = newest.query_id > last.query_id and newest.state != Segmentation.FAILED
        return newest if replaced else None

    def _until(self, condition: Callable[[], Found | None], timeout: float, missing: str) -> Found:
        """Connection.until, but the node must be there."""
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


def _outcome(status: int, segmentation: Segmentation) -> Outcome:
    if status == GoalStatus.STATUS_CANCELED:
        return Outcome.CANCELED
    if segmentation.state != Segmentation.FAILED:
        nothing = segmentation.state == Segmentation.NOTHING
        return Outcome.NOTHING if nothing else Outcome.ANSWERED
    replaced = segmentation.error.startswith("replaced by question ")
    return Outcome.REPLACED if replaced else Outcome.FAILED


def _ignore(response: object) -> None:
    """Take a response that nobody needs: whether a cancel came in time, the result tells."""
