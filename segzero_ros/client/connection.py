"""The client's connection to a perception node: its own node and thread, and waiting."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from segzero.errors import SegZeroError
from segzero_ros.action import Segment
from segzero_ros.msg import Segmentation
from segzero_ros.qos import QUERY_QOS, TEXT_QOS
from segzero_ros.shutdown import until_shutdown
from segzero_ros.srv import ClearGoal

_POLL_PERIOD = 0.2
"""Seconds; nothing notifies of changes in the graph of nodes or in a node's state."""

Found = TypeVar("Found")


class NoAnswer(SegZeroError):
    """There is no answer from the perception node; the text says why and what to do."""


class Connection:
    """The perception node's action, services and results, in a thread that spins.

    Args:
        parent: Gives namespace, context and `use_sim_time`; it need not spin.
        perception: Name of the perception node, absolute or in the namespace.

    Attributes:
        node: The client's own node.
        perception: Full name of the perception node.
        change: Held and notified when something was received.
        segment: Client of the action ~/segment.
        clear: Client of the service ~/clear.
        clear_goal: Client of the service ~/clear_goal.
    """

    def __init__(self, parent: Node | None, perception: str) -> None:
        self.node = _make_node(parent)
        self.perception: str = (parent or self.node).resolve_topic_name(perception)
        self.change = threading.Condition()
        self._listeners: list[Callable[[Segmentation], None]] = []
        self._closed = False
        self.segment = ActionClient(
            self.node,
            Segment,
            f"{self.perception}/segment",
            feedback_sub_qos_profile=TEXT_QOS,
        )
        self.clear = self.node.create_client(Trigger, f"{self.perception}/clear")
        self.clear_goal = self.node.create_client(ClearGoal, f"{self.perception}/clear_goal")
        self._state = self.node.create_client(GetState, f"{self.perception}/get_state")
        self._executor = SingleThreadedExecutor(context=self.node.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="segzero-client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and the node; closing twice changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._executor.shutdown()
        self._thread.join()
        self.segment.destroy()
        self.node.destroy_node()

    def listen(self, listener: Callable[[Segmentation], None]) -> None:
        """Subscribe to the results; without it, no masks are transported.

        Args:
            listener: Called with each result from now on, with `change` held; given twice, it is
                called once.
        """
        with self.change:
            if not self._listeners:
                topic = f"{self.perception}/segmentation"
                self.node.create_subscription(Segmentation, topic, self._on_segmentation, QUERY_QOS)
            if listener not in self._listeners:
                self._listeners.append(listener)

    def connect(self, timeout: float) -> None:
        """Wait until the perception node is active.

        Args:
            timeout: Seconds.

        Raises:
            NoAnswer: It isn't active in time.
        """
        missing = (
            f"no active node {self.perception} within {timeout:g} s: start and activate it; its "
            "state is in /diagnostics"
        )
        deadline = time.monotonic() + timeout
        self.wait_for(lambda: self.servers() and self.segment.server_is_ready(), timeout, missing)
        state = State.PRIMARY_STATE_UNKNOWN
        while state != State.PRIMARY_STATE_ACTIVE:
            left = deadline - time.monotonic()
            state = self.call(self._state, GetState.Request(), left, missing).current_state.id
            if state != State.PRIMARY_STATE_ACTIVE:
                time.sleep(_POLL_PERIOD)

    def call(self, service: Client, request: Any, timeout: float, missing: str) -> Any:
        """Call a service and wait for the response.

        Args:
            service: The client of the service.
            request: The request message.
            timeout: Seconds.
            missing: Error text without a response.

        Returns:
            The response message.

        Raises:
            NoAnswer: No response came in time.
        """
        deadline = time.monotonic() + timeout
        responses: list[Any] = []
        self.wait_for(service.service_is_ready, timeout, missing)
        self.call_async(lambda: service.call_async(request), responses.append)
        return self.wait_for(lambda: responses, deadline - time.monotonic(), missing)[0]

    def call_async(
        self,
        request: Callable[[], Future],
        receive: Callable[[Any], object] = lambda response: None,
    ) -> None:
        """Send a request from the thread that spins.

        From another thread, the response could come before rclpy has registered the request.

        Args:
            request: Sends it and returns rclpy's future.
            receive: Called in the thread that spins, with the response.
        """

        def received(future: Future) -> None:
            with self.change:
                receive(future.result())
                self.change.notify_all()

        self._executor.create_task(lambda: request().add_done_callback(received))

    def wait_for(
        self, condition: Callable[[], Found | None], timeout: float, missing: str
    ) -> Found:
        """Wait for a condition.

        Args:
            condition: Returns something true once it holds; called with `change` held.
            timeout: Seconds.
            missing: Error text without it.

        Returns:
            What `condition` returned.

        Raises:
            NoAnswer: It doesn't hold in time, or the client was closed.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("the client's own thread can't wait for itself")
        deadline = time.monotonic() + timeout
        with self.change:
            while not (found := condition()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NoAnswer(missing)
                self._check()
                self.change.wait(min(left, _POLL_PERIOD))
            return found

    def servers(self) -> set[bytes]:
        """Ids of the active perception nodes of that name; a restarted node has another id."""
        self._check()
        topic = f"{self.perception}/segment/_action/feedback"
        return {bytes(info.endpoint_gid) for info in self.node.get_publishers_info_by_topic(topic)}

    def _check(self) -> None:
        if not self._thread.is_alive():
            raise NoAnswer("the client was closed or ROS was shut down")

    def _spin(self) -> None:
        with until_shutdown():
            self._executor.spin()

    def _on_segmentation(self, message: Segmentation) -> None:
        with self.change:
            for listener in self._listeners:
                listener(message)
            self.change.notify_all()


def _make_node(parent: Node | None) -> Node:
    if parent is None:
        return Node("segzero_client", start_parameter_services=False)
    return Node(
        f"{parent.get_name()}_segzero_client",
        context=parent.context,
        namespace=parent.get_namespace(),
        use_global_arguments=False,  # they may rename it
        parameter_overrides=[parent.get_parameter("use_sim_time")],
        start_parameter_services=False,
    )
