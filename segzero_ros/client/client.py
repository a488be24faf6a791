"""The perception node for behaviour code: ask, stream the reasoning, wait, follow, cancel."""

import uuid
from typing import Self

from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from segzero.reasoning.prompts import clean_question
from segzero_ros.action import Segment
from segzero_ros.client.connection import Connection
from segzero_ros.client.query_handle import QueryHandle
from segzero_ros.msg import Segmentation
from segzero_ros.srv import ClearGoal


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
    ) -> QueryHandle:
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
