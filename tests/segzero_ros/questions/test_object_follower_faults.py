"""What goes wrong while objects are followed: images, models, clocks, cameras."""

import pytest
from rclpy.clock import ClockType
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from segzero.errors import CheckpointError, DeviceOutOfMemory
from segzero_ros.msg import Segmentation
from tests.segzero_ros.moving_scene import (
    FOLLOWED,
    assert_nothing_is_followed,
    followed_on,
    start,
    told,
)
from tests.segzero_ros.robot import picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


def garbage() -> Image:
    image = picture(2)
    image.encoding = "h265"
    return image


def test_garbage_in_between_is_counted_and_left_out(follower) -> None:
    robot, _ = follower
    start(robot)
    for _ in range(3):
        robot.see(garbage())
    wait_until(lambda: told(robot, "bad images"), "the count of bad images")
    assert followed_on(robot, picture(3)).state in FOLLOWED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeviceOutOfMemory("the device is out of memory"), "the device is out of memory"),
        (RuntimeError("a bug"), "unexpected RuntimeError: a bug"),
    ],
)
def test_a_tracker_that_raises_ends_the_following_with_a_reason(
    follower, error: Exception, reason: str
) -> None:
    robot, models = follower
    start(robot)
    models.step_errors.append(error)
    robot.see(picture(2))
    while (result := robot.operator.result()).state in FOLLOWED:
        pass
    assert (result.state, result.query_id) == (Segmentation.FAILED, 1)
    assert reason in result.error

    def diagnosed() -> bool:
        status = robot.operator.diagnosis("models")
        return status is not None and str(error) in status.message

    wait_until(diagnosed, "the error in /diagnostics")
    assert_nothing_is_followed(robot)  # it failed once, and no frame more
    assert followed_on(robot, picture(99)).state in FOLLOWED


def test_a_model_without_memory_answers_and_says_why_it_does_not_follow(
    follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot, models = follower

    def track(image, objects):
        raise CheckpointError("this segmenter has no video memory")

    monkeypatch.setattr(models, "track", track)
    start(robot)
    result = robot.operator.result()
    assert (result.state, result.query_id) == (Segmentation.FAILED, 1)
    assert "no video memory" in result.error


def test_another_size_of_image_ends_the_following_with_a_reason(follower) -> None:
    robot, _ = follower
    start(robot)
    result = followed_on(robot, picture(2, width=80))
    assert result.state == Segmentation.FAILED
    assert "changed from 64x48 to 80x48" in result.error
    assert start(robot, 3, width=80).mask.width == 80


def test_a_clock_that_jumps_back_changes_nothing(follower) -> None:
    robot, _ = follower
    clock = robot.operator.node.create_publisher(Clock, "/clock", 10)
    assert robot.operator.set_parameter("use_sim_time", True).successful

    def turn(seconds: int) -> None:
        def turned() -> bool:
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return robot.node.get_clock().now() == Time(
                seconds=seconds, clock_type=ClockType.ROS_TIME
            )

        wait_until(turned, "the clock")

    turn(1000)
    start(robot, 1000)
    followed_on(robot, picture(1001))
    turn(1)
    for second in range(1, 4):
        assert followed_on(robot, picture(second)).state in FOLLOWED
    assert start(robot, 5).header.stamp.sec == 5


def test_a_camera_that_dies_and_returns_is_followed_again(follower, namespace: str) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    robot.operator.unplug()
    wait_until(lambda: not robot.node.count_publishers(f"{namespace}/image"), "a dead camera")
    assert followed_on(robot, picture(3)).state in FOLLOWED
