"""The camera's topic and the node's subscription to it."""

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.frames import LatestFrame

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def topic(node: Node) -> str:
    """Return the full name of the camera's topic."""
    name = node.resolve_topic_name("image")
    return f"{name}/compressed" if _is_compressed(node) else name


def subscribe(node: Node, frames: LatestFrame) -> Subscription:
    """Let `frames` have what the camera publishes."""
    return node.create_subscription(
        CompressedImage if _is_compressed(node) else Image,
        topic(node),
        frames.put,
        CAMERA_QOS,
        event_callbacks=SubscriptionEventCallbacks(message_lost=frames.count_lost),
    )


def _is_compressed(node: Node) -> bool:
    return bool(node.get_parameter("image_transport").value == "compressed")
