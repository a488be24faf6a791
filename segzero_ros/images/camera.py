"""The camera's topic and the subscription to it."""

from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.images.frames import LatestFrame
from segzero_ros.qos import CAMERA_QOS, overridable


def topic(node: Node) -> str:
    """Return the full name of the camera's topic."""
    name = node.resolve_topic_name("image")
    return f"{name}/compressed" if _is_compressed(node) else name


def subscribe(node: Node, frames: LatestFrame) -> Subscription:
    """Subscribe to the camera and put its images into `frames`."""
    kind = CompressedImage if _is_compressed(node) else Image

    def put(message: Image | CompressedImage, info: dict[str, Any]) -> None:
        # The middleware's own count of lost messages omits those that a newer one displaced.
        frames.put(message, info["publication_sequence_number"])

    # rclpy also takes callbacks with two arguments; its types do not say so.
    return node.create_subscription(
        kind,
        topic(node),
        put,  # type: ignore[arg-type]
        **overridable(CAMERA_QOS),
    )


def _is_compressed(node: Node) -> bool:
    return bool(node.get_parameter("image_transport").value == "compressed")
