"""A node of the tests' own that talks to the node under test."""

import queue
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from tests.segzero_ros.spinning import Spinning
from tests.segzero_ros.waiting import DEADLINE, wait_until


class Peer:
    """Spins in a thread; names are relative to `namespace`, services to `partner` in it."""

    def __init__(self, namespace: str, partner: str) -> None:
        self.partner = f"{namespace}/{partner}"
        self.node = rclpy.create_node(f"peer_of_{partner}", namespace=namespace)
        self._spinning = Spinning(self.node)

    def close(self) -> None:
        self._spinning.close()
        self.node.destroy_node()

    def listen(
        self, message_type: type, topic: str, into: queue.Queue, qos: QoSProfile | int = 10
    ) -> Subscription:
        return self.node.create_subscription(message_type, topic, into.put, qos)

    def call(self, service_type: type, service: str, request: object) -> Any:
        """Call a service of the partner and return the response."""
        client = self.node.create_client(service_type, f"{self.partner}/{service}")
        assert client.wait_for_service(DEADLINE), f"no service {service}"
        future = client.call_async(request)
        wait_until(future.done, f"an answer of {service}")
        self.node.destroy_client(client)
        return future.result()

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        change = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[change])
        return self.call(SetParameters, "set_parameters", request).results[0]
