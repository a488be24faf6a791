"""A camera that dies and returns, and neighbours that can't receive from each other."""

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from segzero_ros.images.frames import LatestFrame
from segzero_ros.results.watchdog import LOSS_WINDOW, Watchdog, qos_mismatches
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def node(namespace: str) -> Iterator[Node]:
    """A node that listens to `image` and `query` and speaks on `mask`."""
    node = rclpy.create_node("segzero", namespace=namespace)
    node.create_subscription(Image, "image", print, BEST_EFFORT)
    node.create_subscription(String, "query", print, 10)
    node.create_publisher(Image, "mask", 10)
    yield node
    node.destroy_node()


@pytest.fixture
def neighbour(namespace: str) -> Iterator[Node]:
    """A node with a context of its own: one context takes one type per topic."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("neighbour", namespace=namespace, context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


class Camera:
    """A camera and the log lines about it; `check` returns the camera's state."""

    def __init__(self, node: Node, topic: str) -> None:
        self.frames = LatestFrame()
        self.said: list[str] = []
        self.topic = topic
        node.get_logger = lambda: self  # type: ignore[method-assign]
        self._watchdog = Watchdog(node, self.frames)
        self.subscribe()

    def error(self, text: str) -> None:
        self.said.append(text)

    info = error

    def subscribe(self) -> None:
        self._subscribed: float | None = time.monotonic()

    def unsubscribe(self) -> None:
        self._subscribed = None
        self.frames.clear()

    def check(self, timeout: float = 0.05) -> DiagnosticStatus:
        return self._watchdog.check(self.topic, timeout, self._subscribed)[0]


@pytest.fixture
def camera(node: Node, namespace: str) -> Camera:
    return Camera(node, f"{namespace}/image")


def test_frames_are_counted_and_their_rate_is_told(camera: Camera) -> None:
    camera.check()
    for _ in range(30):
        camera.frames.put(Image())
    camera.frames.lost = 2
    status = camera.check(timeout=60)
    assert status.level == DiagnosticStatus.OK
    told = {item.key: item.value for item in status.values}
    assert (told["frames received"], told["frames lost"]) == ("30", "2")
    assert float(told["rate [Hz]"]) > 0
    assert float(told["age of newest frame [s]"]) < 60


def test_a_silent_camera_is_told_once_and_so_is_its_return(camera: Camera) -> None:
    assert camera.check(timeout=60).level == DiagnosticStatus.WARN
    time.sleep(0.1)
    for _ in range(3):
        status = camera.check()
        assert status.level == DiagnosticStatus.ERROR
        assert f"nothing publishes on {camera.topic}; start the camera" in status.message
    camera.frames.put(Image())
    assert camera.check(timeout=60).level == DiagnosticStatus.OK
    assert len(camera.said) == 2
    assert "The camera is silent" in camera.said[0]
    assert "Frames come again" in camera.said[1]
    time.sleep(0.1)
    assert camera.check().level == DiagnosticStatus.ERROR
    assert len(camera.said) == 3


def test_a_node_that_is_not_active_misses_no_camera(camera: Camera) -> None:
    camera.unsubscribe()
    camera.check()
    time.sleep(0.1)
    assert camera.check().level == DiagnosticStatus.OK
    camera.subscribe()
    assert camera.check(timeout=60).level == DiagnosticStatus.WARN
    assert camera.said == []


def test_a_node_activated_again_between_two_checks_misses_no_camera(camera: Camera) -> None:
    camera.frames.put(Image())
    assert camera.check(timeout=60).level == DiagnosticStatus.OK
    time.sleep(0.1)
    camera.unsubscribe()
    camera.subscribe()
    assert camera.check(timeout=60).level == DiagnosticStatus.WARN
    assert camera.said == []


@pytest.mark.parametrize(
    ("received", "lost", "warned"),
    [(814, 464, True), (100, 12, True), (100, 5, False), (1000, 0, False), (2, 2, False)],
)
def test_lost_frames_bring_a_warning_with_the_remedy(
    camera: Camera, received: int, lost: int, warned: bool
) -> None:
    for _ in range(received):
        camera.frames.put(Image())
    camera.frames.lost = lost
    status = camera.check(timeout=60)
    assert (status.level == DiagnosticStatus.WARN) == warned
    assert ("fastdds.xml" in status.message) == warned


def test_old_losses_are_forgotten(camera: Camera) -> None:
    for _ in range(100):
        camera.frames.put(Image())
    camera.frames.lost = 50
    assert camera.check(timeout=60).level == DiagnosticStatus.WARN
    for _ in range(LOSS_WINDOW):
        for _ in range(30):
            camera.frames.put(Image())
        status = camera.check(timeout=60)
    assert status.level == DiagnosticStatus.OK
    assert {item.key: item.value for item in status.values}["frames lost"] == "50"


def test_a_second_camera_on_the_topic_is_named(
    camera: Camera, node: Node, neighbour: Node, namespace: str
) -> None:
    camera.frames.put(Image())
    neighbour.create_publisher(Image, "image", 10)
    wait_until(lambda: node.count_publishers(camera.topic) == 1, "the publisher")
    assert camera.check(timeout=60).level == DiagnosticStatus.OK
    node.create_publisher(Image, "image", 10)
    expected = f"2 publishers on {camera.topic} ({namespace}/neighbour, {namespace}/segzero)"
    wait_until(lambda: expected in camera.check(timeout=60).message, "both names")
    assert camera.check(timeout=60).level == DiagnosticStatus.WARN


def test_a_second_node_of_the_same_name_is_told(node: Node, namespace: str) -> None:
    watchdog = Watchdog(node, LatestFrame())
    twin = rclpy.create_node("segzero", namespace=namespace)
    wait_until(lambda: node.get_node_names().count("segzero") >= 2, "the twin")
    connections = watchdog.check(f"{namespace}/image", 1.0, None)[1]
    twin.destroy_node()
    assert connections.level == DiagnosticStatus.WARN
    assert f"2 nodes have the name {namespace}/segzero" in connections.message


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Image, "has a publisher, but nothing arrives"),
        (CompressedImage, "carries sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/Image"),
    ],
)
def test_the_reason_of_the_silence_is_told(
    camera: Camera, node: Node, neighbour: Node, kind: type, reason: str
) -> None:
    neighbour.create_publisher(kind, "image", 10)
    wait_until(lambda: node.count_publishers(camera.topic), "the publisher")
    camera.check()
    time.sleep(0.1)
    assert reason in camera.check().message


def test_neighbours_that_fit_are_no_news(node: Node, neighbour: Node) -> None:
    neighbour.create_publisher(Image, "image", 10)
    neighbour.create_publisher(String, "query", 10)
    listener = neighbour.create_subscription(Image, "mask", print, BEST_EFFORT)
    wait_until(lambda: node.count_subscribers(listener.topic_name), "the subscriber")
    assert list(qos_mismatches(node)) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (
            lambda other: other.create_publisher(String, "query", BEST_EFFORT),
            "segzero can't receive from {0}/neighbour on {0}/query: "
            "change the QoS of one (Best effort",
        ),
        (
            lambda other: other.create_publisher(Image, "query", 10),
            "the subscriber takes std_msgs/msg/String, the publisher sends sensor_msgs/msg/Image",
        ),
        (
            lambda other: other.create_subscription(Image, "mask", print, LATCHED),
            "neighbour can't receive from {0}/segzero on {0}/mask: change the QoS of one (Volatile",
        ),
    ],
)
def test_neighbours_that_do_not_fit_are_told(
    node: Node,
    neighbour: Node,
    namespace: str,
    wrong: Callable[[Node], object],
    complaint: str,
) -> None:
    wrong(neighbour)
    expected = complaint.format(namespace)
    wait_until(lambda: any(expected in told for told in qos_mismatches(node)), "a complaint")
