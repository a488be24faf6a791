"""The other end of the perception node's topics and services, for tests."""

import queue
import threading
from collections.abc import Callable

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from segzero_ros.msg import Segmentation
from tests.segzero_ros.waiting import DEADLINE, wait_until

SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Operator:
    """A camera, a questioner and a listener in the namespace of a node under test."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.node = rclpy.create_node("operator", namespace=namespace)
        self.results: queue.Queue[Segmentation] = queue.Queue()
        self.masks: queue.Queue[Image] = queue.Queue()
        self.reasonings: queue.Queue[String] = queue.Queue()
        self._diagnostics: dict[str, DiagnosticStatus] = {}
        self.queries = self.node.create_publisher(String, "segzero/query", 10)
        self._cameras: dict[str, Publisher] = {}
        self._subscriptions = [
            self.listen(Segmentation, "segzero/segmentation", self.results),
            self.listen(Image, "segzero/mask", self.masks),
            self.listen(String, "segzero/reasoning", self.reasonings),
            self.node.create_subscription(
                DiagnosticArray, "/diagnostics", self._on_diagnostics, 10
            ),
        ]
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()

    def listen(self, message_type: type, topic: str, into: queue.Queue) -> Subscription:
        return self.node.create_subscription(message_type, topic, into.put, 10)

    def on_question(self, heard: Callable[[str], object]) -> None:
        """Call `heard` with the text of every question that anybody asks."""
        self.node.create_subscription(String, "segzero/query", lambda query: heard(query.data), 10)

    def call(self, service_type: type, service: str, request: object) -> object:
        """Call a service of the node and return the response."""
        client = self.node.create_client(service_type, f"segzero/{service}")
        assert client.wait_for_service(DEADLINE), f"no service {service}"
        future = client.call_async(request)
        wait_until(future.done, f"an answer of {service}")
        self.node.destroy_client(client)
        return future.result()

    def transition(self, number: int) -> bool:
        """Ask for a lifecycle transition; say whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, "change_state", request).success

    def state(self) -> str:
        return self.call(GetState, "get_state", GetState.Request()).current_state.label

    def activate(self) -> None:
        """Configure and activate, and wait until every topic is connected."""
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        self.connect()

    def connect(self) -> None:
        """Wait until the node hears questions and its results are heard."""
        wait_until(self.queries.get_subscription_count, "a subscriber of ~/query")
        for subscription in self._subscriptions:
            wait_until(
                subscription.get_publisher_count, f"a publisher of {subscription.topic_name}"
            )

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, "set_parameters", request).results[0]

    def show(self, image: Image | CompressedImage) -> None:
        """Publish a camera image, once the node listens to it."""
        topic = "image" if isinstance(image, Image) else "image/compressed"
        if topic not in self._cameras:
            camera = self.node.create_publisher(type(image), topic, SENSOR_QOS)
            wait_until(camera.get_subscription_count, f"a subscriber of {topic}")
            self._cameras[topic] = camera
        self._cameras[topic].publish(image)

    def ask(self, text: str) -> None:
        self.queries.publish(String(data=text))

    def result(self) -> Segmentation:
        """The next result."""
        return self.results.get(timeout=DEADLINE)

    def answer(self, text: str) -> Segmentation:
        """Ask, and return the next result."""
        self.ask(text)
        return self.result()

    def diagnosis(self, part: str) -> DiagnosticStatus | None:
        """The newest status of models, camera or questions."""
        return self._diagnostics.get(f"{self.namespace}/segzero: {part}")

    def count(self, what: str) -> int:
        """How many questions ended so, as /diagnostics says."""
        status = self.diagnosis("questions")
        return int(next(v.value for v in status.values if v.key == what)) if status else 0

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._diagnostics[status.name] = status
