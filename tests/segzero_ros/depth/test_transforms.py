"""Objects in another frame than the camera's: the arithmetic, and tf2 where it is installed."""

from collections.abc import Iterator

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.time import Time

from segzero_ros.depth.transforms import Transforms, TransformUnavailable, matrix
from tests.segzero_ros.peer import Peer
from tests.segzero_ros.waiting import wait_until

HALF = np.sqrt(0.5)
FRAME = "camera_optical_frame"


def optical(parent: str = "base", seconds: int = 0) -> TransformStamped:
    """A camera half a metre above the parent's origin that looks along its x axis."""
    message = TransformStamped(child_frame_id=FRAME)
    message.header.frame_id = parent
    message.header.stamp = Time(seconds=seconds).to_msg()
    message.transform = Transform(
        translation=Vector3(z=0.5), rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
    )
    return message


def test_the_matrix_takes_points_of_the_child_to_the_parent() -> None:
    right, down, forward = np.eye(3)
    pose = matrix(optical())
    np.testing.assert_allclose(pose[:3, :3] @ right, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ down, [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ forward, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose @ [0, 0, 0, 1], [0, 0, 0.5, 1], atol=1e-12)


def test_a_quaternion_need_not_be_of_length_one() -> None:
    message = TransformStamped()
    message.transform.rotation = Quaternion(z=3.0 * HALF, w=3.0 * HALF)
    np.testing.assert_allclose(matrix(message) @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-12)


@pytest.fixture
def tf2(namespace: str) -> Iterator[tuple[Peer, Transforms]]:
    """A peer that tells transforms, and a listener in the same thread."""
    pytest.importorskip(
        "tf2_ros", reason="tf2_ros is not here: it comes with an installed ROS 2, not with pip"
    )
    peer = Peer(namespace, "nobody")
    transforms = Transforms(peer.node)
    yield peer, transforms
    transforms.close()
    peer.close()


def known(transforms: Transforms, target: str, second: int) -> np.ndarray:
    """The transform at a second, once it has come."""
    found = []

    def came() -> bool:
        try:
            found.append(transforms.lookup(target, FRAME, Time(seconds=second).to_msg()))
        except TransformUnavailable:
            return False
        return True

    wait_until(came, "the transform")
    return found[0]


@pytest.mark.ros
def test_a_static_transform_holds_at_every_time(tf2) -> None:
    from tf2_ros import StaticTransformBroadcaster

    peer, transforms = tf2
    StaticTransformBroadcaster(peer.node).sendTransform(optical("base"))
    for second in (1, 1000):
        np.testing.assert_allclose(known(transforms, "base", second), matrix(optical()))


@pytest.mark.ros
def test_a_moving_frame_is_taken_at_the_images_time(tf2) -> None:
    from tf2_ros import TransformBroadcaster

    peer, transforms = tf2
    broadcaster = TransformBroadcaster(peer.node)
    wait_until(lambda: peer.node.count_subscribers("/tf"), "a listener")
    for second in range(10, 13):
        message = optical("moving", second)
        message.transform.translation.x = float(second)
        broadcaster.sendTransform(message)
    assert known(transforms, "moving", 11)[0, 3] == pytest.approx(11)
    with pytest.raises(TransformUnavailable, match="no transform to target_frame"):
        transforms.lookup("moving", FRAME, Time(seconds=2).to_msg())
    with pytest.raises(TransformUnavailable, match="no transform to target_frame"):
        transforms.lookup("nowhere", FRAME, Time(seconds=11).to_msg())
