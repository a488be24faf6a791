"""Subscribers and cameras of every quality of service."""

import queue
from collections.abc import Callable

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from segzero_ros.msg import Segmentation
from segzero_ros.qos import CAMERA_QOS, QUERY_QOS
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import FOLLOWED, MakeFollower, followed_on, start
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros
SUBSCRIBED = {
    "image": CAMERA_QOS,
    "depth": CAMERA_QOS,
    "camera_info": CAMERA_QOS,
    "segzero/query": QUERY_QOS,
    "segzero/ask": QUERY_QOS,
}


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


def overrides(topic: str, entity: str, **policies: object) -> dict[str, object]:
    return {f"qos_overrides.{topic}.{entity}.{name}": value for name, value in policies.items()}


def test_a_parameter_latches_a_result_for_late_subscribers(
    make_follower: MakeFollower, namespace: str
) -> None:
    topic = f"{namespace}/segzero/segmentation"
    robot, _ = make_follower(**overrides(topic, "publisher", durability="transient_local", depth=1))
    answer = start(robot)
    received: queue.Queue[Segmentation] = queue.Queue()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.operator.listen(Segmentation, "segzero/segmentation", received, latched)
    assert received.get(timeout=DEADLINE).query_id == answer.query_id


@pytest.mark.parametrize("topic", SUBSCRIBED)
def test_a_parameter_changes_one_subscription_also_after_reactivation(
    make_robot: Callable[..., Robot], namespace: str, topic: str
) -> None:
    changed = f"{namespace}/{topic}"
    usual = {f"{namespace}/{name}": qos.reliability for name, qos in SUBSCRIBED.items()}
    (other,) = {CAMERA_QOS.reliability, QUERY_QOS.reliability} - {usual[changed]}
    policy = overrides(changed, "subscription", reliability=other.name.lower())
    node = make_robot(use_depth=True, **policy).node
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    for _ in range(2):
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        found = {
            name: node.get_subscriptions_info_by_topic(name)[0].qos_profile.reliability
            for name in usual
        }
        assert found == usual | {changed: other}
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS


def test_a_parameter_for_no_topic_is_warned_of_with_the_nearest_one(
    make_robot: Callable[..., Robot], namespace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_robot(
        **overrides(f"{namespace}/imag", "subscription", reliability="reliable")
    ).operator.activate()
    near = f"did you mean qos_overrides.{namespace}/image.subscription.reliability?"
    wait_until(lambda: near in capfd.readouterr().err, "the warning")


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
