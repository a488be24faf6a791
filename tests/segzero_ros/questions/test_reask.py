"""Followed objects are asked for again: when lost, every so often, after another size."""

import pytest

from segzero.errors import DeviceOutOfMemory
from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import FOLLOWED, MakeFollower, followed_on, start
from tests.segzero_ros.robot import picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


def test_a_lost_object_is_asked_for_again(make_follower: MakeFollower) -> None:
    robot, models = make_follower(reask="on_lost", reask_period=0.1)
    with filming(robot.operator):
        wait_until(lambda: robot.node.frames.received, "frames")
        assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED
        models.blind = True
        lost = 0
        while (result := robot.operator.result()).state != Segmentation.ANSWERED:
            lost += result.state == Segmentation.LOST
        assert lost
        assert result.query_id == 1


def test_it_is_asked_again_every_so_often(make_follower: MakeFollower) -> None:
    robot, _ = make_follower(reask="every", reask_period=0.5)
    answered = 0
    with filming(robot.operator):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.ask("the red ball")
        while answered < 3:
            answered += robot.operator.result().state == Segmentation.ANSWERED
        assert robot.operator.set_parameter("reask", "never").successful
    wait_until(lambda: robot.operator.count("answered") == 1, "one question, however often asked")


def test_after_another_size_of_image_it_is_asked_again_if_wanted(
    make_follower: MakeFollower,
) -> None:
    robot, _ = make_follower(reask="on_lost", reask_period=0.1)
    first = start(robot)
    result = followed_on(robot, picture(2, width=80))
    assert (result.state, result.query_id) == (Segmentation.LOST, first.query_id)
    while (result := robot.operator.result()).state != Segmentation.ANSWERED:
        pass
    assert (result.mask.width, result.query_id) == (80, first.query_id)
    result = followed_on(robot, picture(3, width=80))
    assert (result.state in FOLLOWED, result.mask.width) == (True, 80)


def test_asking_again_that_fails_leaves_the_following_as_it_was(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower(reask="every", reask_period=0.1)
    models.ask_errors = []
    with filming(robot.operator):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.answer("the red ball")
        models.ask_errors += [RuntimeError("a bug"), DeviceOutOfMemory("full")]
        wait_until(lambda: not models.ask_errors, "two failed questions")
        states = set()
        while Segmentation.ANSWERED not in states:
            states.add(robot.operator.result().state)
        assert Segmentation.FAILED not in states
