"""The other end of the perception node's topics and services."""

import queue

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from segzero_ros.msg import Segmentation
from tests.segzero_ros.peer import Peer
from tests.segzero_ros.waiting import DEADLINE, wait_until

SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Operator(Peer):
    """A camera, a questioner and a listener in the namespace of a perception node."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace, "segzero")
        self.results: queue.Queue[Segmentation] = queue.Queue()
        self.masks: queue.Queue[Image] = queue.Queue()
        self.reasonings: queue.Queue[String] = queue.Queue()
        self._diagnostics: dict[str, DiagnosticStatus] = {}
        self._cameras: dict[str, Publisher] = {}
        self.queries = self.node.create_publisher(String, "segzero/query", 10)
        self._subscriptions = [
            self.listen(Segmentation, "segzero/segmentation", self.results),
            self.listen(Image, "segzero/mask", self.masks),
            self.listen(String, "segzero/reasoning", self.reasonings),
            self.node.create_subscription(
                DiagnosticArray, "/diagnostics", self._on_diagnostics, 10
            ),
        ]

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
        """Wait until the node receives queries and its results are received."""
        wait_until(self.queries.get_subscription_count, "a subscriber of ~/query")
        for subscription in self._subscriptions:
            wait_until(
                subscription.get_publisher_count, f"a publisher of {subscription.topic_name}"
            )

    def show(self, image: Image | CompressedImage) -> None:
        """Publish a camera image, once the node listens to it."""
        topic = "image" if isinstance(image, Image) else "image/compressed"
        if topic not in self._cameras:
            camera = self.node.create_publisher(type(image), topic, SENSOR_QOS)
            wait_until(camera.get_subscription_count, f"a subscriber of {topic}")
            self._cameras[topic] = camera
        self._cameras[topic].publish(image)

    def unplug(self) -> None:
        """Take the camera away; `show` plugs in another."""
        for camera in self._cameras.values():
            self.node.destroy_publisher(camera)
        self._cameras = {}

    def ask(self, text: str) -> None:
        self.queries.publish(String(data=text))

    def result(self) -> Segmentation:
        """The next result; partial ones are left out."""
        while (result := self.results.get(timeout=DEADLINE)).state == Segmentation.PARTIAL:
            pass
        return result

    def answer(self, text: str) -> Segmentation:
        """Ask, and return the next result."""
        self.ask(text)
        return self.result()

    def diagnosis(self, part: str) -> DiagnosticStatus | None:
        """The newest status of models, camera or questions."""
        return self._diagnostics.get(f"{self.partner}: {part}")

    def status(self, part: str) -> DiagnosticStatus:
        """The same, waited for."""
        wait_until(lambda: self.diagnosis(part), f"diagnostics of {part}")
        return self._diagnostics[f"{self.partner}: {part}"]

    def count(self, what: str) -> int:
        """How many questions ended so, as /diagnostics says."""
        status = self.diagnosis("questions")
        return int(next(v.value for v in status.values if v.key == what)) if status else 0

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._diagnostics[status.name] = status
