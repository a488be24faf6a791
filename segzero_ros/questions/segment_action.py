"""The action ~/segment: the same way as a question on ~/query, with feedback and cancel."""

from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

from segzero_ros.action import Segment
from segzero_ros.msg import Segmentation
from segzero_ros.query import Query
from segzero_ros.questions.query_processor import QueryProcessor

_RESULT_TIMEOUT = 10
"""Seconds that a result is kept; each holds a mask."""


class SegmentAction:
    """Serves goals while `answering` returns something, and refuses them with a reason otherwise.

    next_id: counts the questions of the node. For the thread that spins.
    """

    def __init__(
        self, node: Node, answering: Callable[[], QueryProcessor | None], next_id: Callable[[], int]
    ) -> None:
        self._node = node
        self._answering = answering
        self._next_id = next_id
        self._goals: dict[bytes, tuple[Query, Future]] = {}  # those not yet ended
        self._server = ActionServer(
            node,
            Segment,
            "~/segment",
            self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            feedback_pub_qos_profile=QoSProfile(depth=1000),  # every piece of text counts
            result_timeout=_RESULT_TIMEOUT,
        )

    def destroy(self) -> None:
        """Take the action away; the node must not spin meanwhile."""
        self._server.destroy()

    def _on_goal(self, goal: Segment.Goal) -> GoalResponse:
        if self._answering():
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(
            "A goal of ~/segment was rejected: the node isn't active, activate it first."
        )
        return GoalResponse.REJECT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        answering, request = self._answering(), goal.request
        assert answering  # else the goal would have been rejected a moment ago
        image = request.image if request.image.width else None
        question = answering.question(self._next_id(), request.query, image)
        ended, executor = Future(), self._node.executor
        assert executor  # this very callback runs in it

        def on_end(message: Segmentation) -> None:
            ended.set_result(message)
            executor.wake()  # what awaits a future is looked at only when something else happens

        question.on_text = lambda text: goal.publish_feedback(Segment.Feedback(text=text))
        question.on_end = on_end
        self._goals[_key(goal)] = (question, ended)
        goal.execute()
        answering.ask(question)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        question, ended = self._goals.get(_key(goal), (None, None))
        answering = self._answering()
        if answering is None or ended is None or ended.done():
            return CancelResponse.REJECT
        unanswered, _ = answering.stop("the goal was cancelled")
        return CancelResponse.ACCEPT if question in unanswered else CancelResponse.REJECT

    async def _execute(self, goal: ServerGoalHandle) -> Segment.Result:
        _, ended = self._goals[_key(goal)]
        message = await ended
        del self._goals[_key(goal)]
        if goal.is_cancel_requested:
            goal.canceled()
        elif message.state == Segmentation.FAILED:
            goal.abort()
        else:
            goal.succeed()
        return Segment.Result(segmentation=message)


def _key(goal: ServerGoalHandle) -> bytes:
    return bytes(goal.goal_id.uuid)
