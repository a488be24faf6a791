"""Queries the perception node, follows objects, cancels goals, and notes when results come."""

import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from processes import wait_until
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import String

from segzero_ros.client import Outcome, SegZeroClient
from segzero_ros.msg import ReasoningText, Segmentation

TIMEOUT = 120.0


class Asker:
    """Asks `question`; spins only while it waits."""

    def __init__(self, question: str) -> None:
        rclpy.init()
        self._question = question
        self._node = rclpy.create_node("asker")
        self._client = SegZeroClient(self._node)
        self._parameters = self._node.create_client(SetParameters, "segzero/set_parameters")
        self._query = self._node.create_publisher(String, "segzero/query", 10)
        self._states: list[int] = []
        self._reports: list[int] = []
        self._text: list[tuple[int, bool]] = []
        listen = self._node.create_subscription
        listen(Segmentation, "segzero/segmentation", self._on_result, 100)
        listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        listen(ReasoningText, "segzero/reasoning/stream", self._on_text, 1000)
        self._wait(lambda: self._query.get_subscription_count() and self._reports, "the node")
        self._spin(2.0)  # discovery of the other topics

    def follow(self, seconds: float) -> int:
        """Have something found, followed for `seconds`; return how many frames were skipped."""
        self._set("follow", True)
        before, self._states = self._reports[-1], []
        self._query.publish(String(data=self._question))
        while Segmentation.ANSWERED not in self._states:
            self._wait(lambda: self._states, "an answer")
            if self._states[0] != Segmentation.ANSWERED:  # the demo's reasoner isn't always right
                self._states = []
                self._query.publish(String(data=self._question))
        self._wait(lambda: len(self._states) > 1, "a followed frame")
        self._spin(seconds)
        self._set("follow", False)
        self._spin(1.0)
        self._reports.clear()
        self._wait(lambda: len(self._reports) > 1, "diagnostics")
        return self._reports[-1] - before

    def cancel(self) -> tuple[int, int]:
        """Cancel a goal while the model writes; return when, and when its last message came."""
        while True:
            self._text = []
            query = self._client.ask(self._question)
            self._wait(lambda: self._text, "the first word")
            sent = time.time_ns()
            query.cancel()
            reply = query.wait()
            received = time.time_ns()
            self._wait(lambda: self._text[-1][1], "the end of the thinking")
            self._spin(0.5)
            if reply.outcome is Outcome.CANCELED:
                return sent, max(received, self._text[-1][0])

    def close(self) -> None:
        self._client.close()
        self._node.destroy_node()
        rclpy.shutdown()

    def _set(self, name: str, value: bool) -> None:
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        self._wait(self._parameters.service_is_ready, "the node's parameters")
        self._wait(self._parameters.call_async(request).done, name)

    def _on_diagnostics(self, report: Any) -> None:
        for status in report.status:
            if status.name == "/segzero: following":
                values = {item.key: item.value for item in status.values}
                self._reports.append(int(values["frames skipped"]))

    def _on_result(self, message: Segmentation) -> None:
        if message.state != Segmentation.PARTIAL:
            self._states.append(message.state)

    def _on_text(self, message: Any) -> None:
        self._text.append((time.time_ns(), message.end))

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() > end, "time")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(self._node, condition, what, TIMEOUT)
