"""Transforms of tf2, if tf2_ros is installed; it comes with apt, not with pip."""

import importlib.util
import time

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from segzero.errors import SegZeroError

TF_TIMEOUT = 0.02
"""Seconds to wait for a transform: tf often comes a little later than the image of its time."""


class TransformUnavailable(SegZeroError):
    """There is no transform between two frames at some time; the text says why."""


def rejection_reason() -> str:
    """Say why this machine has no transforms; "" if it has."""
    if importlib.util.find_spec("tf2_ros"):
        return ""
    return (
        "target_frame needs tf2_ros, which isn't installed here: install it "
        "(sudo apt install ros-$ROS_DISTRO-tf2-ros-py) or leave target_frame empty"
    )


def matrix(message: TransformStamped) -> NDArray[np.float64]:
    """Return the (4, 4) transform from the child frame to the header's frame."""
    turn, shift = message.transform.rotation, message.transform.translation
    w, *vector = np.array([turn.w, turn.x, turn.y, turn.z]) / np.linalg.norm(
        [turn.w, turn.x, turn.y, turn.z]
    )
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    pose = np.eye(4)
    pose[:3, :3] += 2 * w * cross + 2 * cross @ cross
    pose[:3, 3] = shift.x, shift.y, shift.z
    return pose


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a rotation (3, 3) as the quaternion (x, y, z, w) with w >= 0."""
    cross = [rotation[2, 1], rotation[0, 2], rotation[1, 0]]
    cross -= np.array([rotation[1, 2], rotation[2, 0], rotation[0, 1]])
    # The quaternion is the eigenvector of the largest eigenvalue (Bar-Itzhack's method), which is
    # exact where formulas that divide by w are not.
    scores = np.empty((4, 4))
    scores[:3, :3] = rotation + rotation.T - np.trace(rotation) * np.eye(3)
    scores[:3, 3] = scores[3, :3] = cross
    scores[3, 3] = np.trace(rotation)
    found: NDArray[np.float64] = np.linalg.eigh(scores)[1][:, -1]
    return -found if found[3] < 0 else found


class Transforms:
    """Subscribes to /tf and /tf_static until `close`.

    Create and close it in the thread that spins the node; `lookup` is for other threads.

    Args:
        node: Gets the subscriptions.

    Raises:
        TransformUnavailable: tf2 is not installed.
    """

    def __init__(self, node: Node) -> None:
        if reason := rejection_reason():
            raise TransformUnavailable(reason)
        import tf2_ros

        self._errors = tf2_ros
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        # Simulated time that restarts is older than all transforms in the buffer.
        self._jump = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=lambda _: self._buffer.clear(),
        )

    def lookup(self, target: str, source: str, stamp: Stamp) -> NDArray[np.float64]:
        """Look a transform up; waits `TF_TIMEOUT` for one that is not yet there.

        Args:
            target: The frame of the result.
            source: The frame of the points.
            stamp: The time of the points.

        Returns:
            The (4, 4) transform from `source` to `target`.

        Raises:
            TransformUnavailable: There is none at that time.
        """
        if stamp.sec < 0:
            raise TransformUnavailable(
                f"no transform to target_frame: the image's stamp is negative ({stamp.sec} s), "
                "check the camera's clock"
            )
        deadline = time.monotonic() + TF_TIMEOUT
        while True:
            try:
                return matrix(self._buffer.lookup_transform(target, source, Time.from_msg(stamp)))
            except self._errors.TransformException as error:
                late = isinstance(error, self._errors.ExtrapolationException)
                if not late or time.monotonic() > deadline:
                    raise TransformUnavailable(f"no transform to target_frame: {error}") from error
            time.sleep(0.002)

    def close(self) -> None:
        """End the subscriptions."""
        self._listener.unregister()
        self._jump.unregister()
