"""Old images are no answer to "now", and every result says how old its pixels are."""

import time

import pytest
from rclpy.time import Time
from sensor_msgs.msg import Image

from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import FOLLOWED, MakeFollower, followed_on, start
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


@pytest.fixture
def strict(make_follower: MakeFollower) -> Robot:
    robot, _ = make_follower(max_frame_age=0.3)
    return robot


def test_a_question_to_a_camera_that_died_fails_with_its_own_code(strict: Robot) -> None:
    strict.see(picture(1))
    time.sleep(0.4)
    result = strict.operator.answer("the red ball")
    assert (result.state, result.error_code) == (
        Segmentation.FAILED,
        Segmentation.ERROR_STALE_IMAGE,
    )
    assert "max_frame_age allows 0.3 s" in result.error


def test_without_any_image_the_code_is_another(strict: Robot) -> None:
    assert strict.operator.answer("the red ball").error_code == Segmentation.ERROR_NO_IMAGE


def test_an_old_image_is_waited_past(make_follower: MakeFollower) -> None:
    robot, _ = make_follower(max_frame_age=0.3, first_frame_timeout=60.0)
    robot.see(picture(1))
    time.sleep(0.4)
    robot.operator.ask("the red ball")
    with filming(robot.operator):
        result = robot.operator.result()
    assert (result.state, result.header.stamp.sec >= 5) == (Segmentation.ANSWERED, True)


def test_a_question_that_waited_for_its_turn_is_answered_on_a_fresh_image(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower(max_frame_age=0.5, follow=False, first_frame_timeout=60.0)
    with filming(robot.operator):
        wait_until(lambda: robot.node.frames.received, "frames")
        slow_until = time.monotonic() + 1.0
        models.ready = lambda: time.monotonic() > slow_until
        robot.operator.ask("the red ball")
        asked = robot.operator.result().header.stamp.sec
        assert asked >= 5


def stamped(seconds: float) -> Image:
    image = picture(1)
    image.header.stamp = Time(nanoseconds=int(seconds * 1e9)).to_msg()
    return image


def test_the_latency_is_the_age_of_the_stamp(make_follower: MakeFollower) -> None:
    robot, _ = make_follower(max_frame_age=60.0)  # since it came
    stamp = time.time() - 100.0
    robot.see(stamped(stamp))
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.ANSWERED
    assert 100.0 <= result.latency <= time.time() - stamp


def unstamped(number: int, seconds: int) -> Image:
    image = picture(number)
    image.header.stamp.sec, image.header.stamp.nanosec = seconds, 0
    return image


@pytest.mark.parametrize("seconds", [0, -1, -(2**31)])
def test_images_without_a_usable_stamp_are_followed_by_arrival(follower, seconds: int) -> None:
    robot, _ = follower
    operator = robot.operator

    def show(number: int) -> None:
        before = robot.node.frames.received

        def arrived() -> bool:
            operator.show(unstamped(number, seconds))
            return bool(robot.node.frames.received > before)

        wait_until(arrived, "the image")

    show(1)
    answer = operator.answer("the red ball")
    assert (answer.state, 0 <= answer.latency < 10) == (Segmentation.ANSWERED, True)
    for number in (2, 3):
        show(number)
        while (result := operator.result()).state not in FOLLOWED:
            pass
        assert 0 <= result.latency < 10


def test_a_followed_frame_says_its_age(follower) -> None:
    robot, _ = follower
    start(robot)
    assert followed_on(robot, picture(2)).latency > 0
