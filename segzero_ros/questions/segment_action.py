"""The action ~/segment: the same as a query on ~/query, with feedback and cancel."""

from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future

from segzero_ros.action import Segment
from segzero_ros.msg import Segmentation
from segzero_ros.qos import TEXT_QOS
from segzero_ros.query import Query
from segzero_ros.questions.query_processor import QueryProcessor

_RESULT_TIMEOUT = 10
"""Seconds that a result is kept; each holds a mask."""


class SegmentAction:
    """The action server; for the thread that spins the node.

    Args:
        node: Gets the server.
        processor: Returns what answers queries, or None while the node isn't active. Goals are
            rejected then.
        next_id: Counts the queries of the node.
    """

    def __init__(
        self, node: Node, processor: Callable[[], QueryProcessor | None], next_id: Callable[[], int]
    ) -> None:
        self._node = node
        self._processor = processor
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
            feedback_pub_qos_profile=TEXT_QOS,
            result_timeout=_RESULT_TIMEOUT,
        )

    def destroy(self) -> None:
        """Destroy the action server; the node must not spin meanwhile."""
        self._server.destroy()

    def _on_goal(self, goal: Segment.Goal) -> GoalResponse:
        if self._processor():
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(
            "A goal of ~/segment was rejected: the node isn't active, activate it first."
        )
        return GoalResponse.REJECT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        processor, request = self._processor(), goal.request
        assert processor  # else the goal would have been rejected a moment ago
        image = request.image if request.image.width else None
        query = processor.make_query(
            self._next_id(),
            request.query,
            image,
            goal=request.goal,
            request_id=request.request_id,
        )
        ended, executor = Future(), self._node.executor
        assert executor  # this very callback runs in it

        def on_end(message: Segmentation) -> None:
            ended.set_result(message)
            executor.wake()  # it checks awaited futures only when something else happens

        query.on_text = lambda text: goal.publish_feedback(Segment.Feedback(text=text))
        query.on_end = on_end
        self._goals[_key(goal)] = (query, ended)
        goal.execute()
        processor.ask(query)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        query, _ = self._goals.get(_key(goal), (None, None))
        processor = self._processor()
        stopped = processor is not None and query is not None and processor.cancel(query)
        return CancelResponse.ACCEPT if stopped else CancelResponse.REJECT

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
