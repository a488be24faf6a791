"""The topics and services by which questions come and go."""

from collections.abc import Callable

from rclpy.node import Node
from rclpy.subscription import Subscription
from std_msgs.msg import String
from std_srvs.srv import Trigger

from segzero_ros.msg import Query as QueryMessage
from segzero_ros.qos import QUERY_QOS, overridable
from segzero_ros.query import Query
from segzero_ros.questions.object_service import INACTIVE
from segzero_ros.questions.query_processor import QueryProcessor
from segzero_ros.srv import ClearGoal


class QueryInputs:
    """Hands questions to what answers them; for the thread that spins the node.

    Args:
        node: Gets the services.
        processor: Returns what answers queries, or None while the node isn't active.
        next_id: Counts the queries of the node.
    """

    def __init__(
        self, node: Node, processor: Callable[[], QueryProcessor | None], next_id: Callable[[], int]
    ) -> None:
        self._processor = processor
        self._next_id = next_id
        node.create_service(Trigger, "~/clear", self._on_clear)
        node.create_service(ClearGoal, "~/clear_goal", self._on_clear_goal)

    def subscribe(self, node: Node) -> list[Subscription]:
        """Subscribe to the topics of questions."""
        return [
            node.create_subscription(String, "~/query", self._on_query, **overridable(QUERY_QOS)),
            node.create_subscription(QueryMessage, "~/ask", self._on_ask, **overridable(QUERY_QOS)),
        ]

    def _on_query(self, message: String) -> None:
        self._ask(message.data)

    def _on_ask(self, message: QueryMessage) -> None:
        self._ask(message.text, message.goal, message.request_id)

    def _ask(self, text: str, goal: str = "", request_id: str = "") -> None:
        processor = self._processor()
        if processor is None:
            return
        query = processor.make_query(self._next_id(), text, goal=goal, request_id=request_id)
        if not text.strip() and any(processor.stop(goal, "stopped by an empty question")):
            return
        processor.ask(query)

    def _on_clear(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        processor = self._processor()
        if processor is None:
            response.message = INACTIVE
            return response
        response.success = True
        response.message = _stopped(*processor.stop_all("stopped by ~/clear"))
        return response

    def _on_clear_goal(
        self, request: ClearGoal.Request, response: ClearGoal.Response
    ) -> ClearGoal.Response:
        processor = self._processor()
        if processor is None:
            response.message = INACTIVE
            return response
        stopped = processor.stop(request.goal, "stopped by ~/clear_goal")
        response.success, response.message = any(stopped), _stopped(*stopped)
        return response


def _stopped(unanswered: list[Query], followed: list[Query]) -> str:
    words = [f"stopped question {query.id}" for query in unanswered]
    words += [f"forgot the objects of question {query.id}" for query in followed]
    return ", ".join(words) or "nothing was under way"
