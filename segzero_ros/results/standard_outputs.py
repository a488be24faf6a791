"""Results as messages that other programs know: vision_msgs, markers, poses and tf."""

import importlib.util
from collections.abc import Callable
from typing import Any, TypeAlias

from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.depth.oriented_box import OrientedBox
from segzero_ros.depth.transforms import TransformUnavailable
from segzero_ros.msg import Segmentation
from segzero_ros.qos import LATCHED_QOS, create_output
from segzero_ros.results import poses

TF_QOS = QoSProfile(depth=100)
"""As tf2_ros's TransformBroadcaster has it."""

Convert2D: TypeAlias = Callable[[Segmentation], Any]
Convert3D: TypeAlias = Callable[[Segmentation, LocatedObjects, dict[int, OrientedBox]], Any]


class StandardOutputs:
    """Publishes what somebody subscribes to, as far as its message package is installed.

    Its methods are for any thread.

    Args:
        node: Gets the publishers; its parameter publish_tf says whether tf is among them.

    Raises:
        TransformUnavailable: publish_tf is true, but tf2_msgs is not installed.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._outputs_2d: list[tuple[Publisher, Convert2D]] = []
        self._outputs_3d: list[tuple[Publisher, Convert3D]] = []
        self._pose = create_output(node, PoseStamped, "~/pose")
        self._tf: Publisher | None = None
        self._cleared: tuple[Publisher, Any] | None = None
        if _installed("visualization_msgs"):
            self._add_markers()
        if _installed("vision_msgs"):
            self._add_detections()
        if node.get_parameter("publish_tf").value:
            self._add_tf()

    def publish(self, result: Segmentation, located: LocatedObjects | None) -> None:
        """Publish a result.

        Args:
            result: The result, with its mask.
            located: Its objects in 3D; None without depth.
        """
        for publisher, convert in self._outputs_2d:
            if _is_subscribed(publisher):
                publisher.publish(convert(result))
        if located is None:
            self.clear()  # they would show where objects were
            return
        wanted = [output for output in self._outputs_3d if _is_subscribed(output[0])]
        if wanted or self._tf or _is_subscribed(self._pose):
            boxes = poses.object_boxes(result, located)
            for publisher, convert_3d in wanted:
                publisher.publish(convert_3d(result, located, boxes))
            self._publish_poses(result.goal, poses.goal_poses(result, boxes))

    def clear(self) -> None:
        """Remove the markers: nothing is followed any more, or its place isn't known."""
        if self._cleared:
            publisher, message = self._cleared
            if _is_subscribed(publisher):
                publisher.publish(message)

    def _add_markers(self) -> None:
        from visualization_msgs.msg import MarkerArray

        from segzero_ros.results.markers import marker_array, no_markers

        publisher = create_output(self._node, MarkerArray, "~/markers")
        self._outputs_3d.append((publisher, marker_array))
        self._cleared = publisher, no_markers()

    def _add_detections(self) -> None:
        from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo

        from segzero_ros.results.detections import detections_2d, detections_3d, label_info

        node = self._node
        self._outputs_2d += [
            (create_output(node, Detection2DArray, "~/detections"), detections_2d),
            (create_output(node, LabelInfo, "~/label_info", LATCHED_QOS), label_info),
        ]
        self._outputs_3d.append(
            (create_output(node, Detection3DArray, "~/detections_3d"), detections_3d)
        )

    def _add_tf(self) -> None:
        if not _installed("tf2_msgs"):
            raise TransformUnavailable(
                "publish_tf needs tf2_msgs, which isn't installed here: install it "
                "(sudo apt install ros-$ROS_DISTRO-tf2-msgs) or leave publish_tf false"
            )
        from tf2_msgs.msg import TFMessage

        self._tf = create_output(self._node, TFMessage, "/tf", TF_QOS)

    def _publish_poses(self, newest_goal: str, goals: dict[str, PoseStamped]) -> None:
        if newest_goal in goals and _is_subscribed(self._pose):
            self._pose.publish(goals[newest_goal])
        if self._tf and goals:
            from tf2_msgs.msg import TFMessage

            name = self._node.get_fully_qualified_name()
            frames = [
                poses.to_transform(pose, poses.goal_frame(name, goal))
                for goal, pose in goals.items()
            ]
            self._tf.publish(TFMessage(transforms=frames))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _is_subscribed(publisher: Publisher) -> bool:
    return bool(publisher.get_subscription_count())
