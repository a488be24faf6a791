"""Subscribers and cameras of every quality of service."""

import queue

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import FOLLOWED, followed_on, start
from tests.segzero_ros.robot import picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_subscribers_of_either_reliability_get_results(
    follower, reliability: ReliabilityPolicy
) -> None:
    robot, _ = follower
    received: queue.Queue[Segmentation] = queue.Queue()
    subscription = robot.operator.listen(
        Segmentation, "segzero/segmentation", received, QoSProfile(depth=1, reliability=reliability)
    )
    wait_until(subscription.get_publisher_count, "the publisher")
    with filming(robot.operator):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.ask("the red ball")
        while received.get(timeout=DEADLINE).state not in FOLLOWED:
            pass


def test_a_subscriber_that_wants_what_is_not_offered_disturbs_nobody(follower) -> None:
    robot, _ = follower
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    received: queue.Queue[Segmentation] = queue.Queue()
    topic = robot.operator.listen(
        Segmentation, "segzero/segmentation", received, latched
    ).topic_name
    wait_until(lambda: robot.node.count_subscribers(topic) == 2, "the subscriber")
    assert start(robot).state == Segmentation.ANSWERED
    assert followed_on(robot, picture(2)).state in FOLLOWED

    def told() -> bool:
        status = robot.operator.diagnosis("connections")
        return status is not None and "change the QoS of one" in status.message

    wait_until(told, "the mismatch in /diagnostics")
    assert received.empty()
    assert start(robot, 3).state == Segmentation.ANSWERED


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
@pytest.mark.parametrize(
    "durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
)
def test_cameras_of_every_qos_are_followed(
    follower, reliability: ReliabilityPolicy, durability: DurabilityPolicy
) -> None:
    robot, _ = follower
    qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
    camera = robot.operator.node.create_publisher(Image, "image", qos)
    wait_until(camera.get_subscription_count, "the node")
    robot.operator.show = camera.publish
    start(robot)
    assert followed_on(robot, picture(2)).state in FOLLOWED
