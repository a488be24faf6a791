"""The camera's topic and the node's subscription to it."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.images.frames import LatestFrame

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def topic(node: Node) -> str:
    """Return the full name of the camera's topic."""
    name = node.resolve_topic_name("image")
    return f"{name}/compressed" if _is_compressed(node) else name


def subscribe(node: Node, frames: LatestFrame) -> Subscription:
    """Let `frames` have what the camera publishes."""
    kind = CompressedImage if _is_compressed(node) else Image

    def put(message: Image | CompressedImage, info: dict[str, Any]) -> None:
        # The middleware's own count leaves out what a newer frame displaced in its queue.
        frames.put(message, info["publication_sequence_number"])

    # rclpy also takes callbacks with two arguments; its types do not say so.
    return node.create_subscription(kind, topic(node), put, CAMERA_QOS)  # type: ignore[arg-type]


def _is_compressed(node: Node) -> bool:
    return bool(node.get_parameter("image_transport").value == "compressed")
