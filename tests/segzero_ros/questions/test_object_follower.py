"""Following over real DDS with real, tiny models: stamps, counts, stopping."""

from collections.abc import Callable

import pytest
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import (
    FOLLOWED,
    MakeFollower,
    assert_nothing_is_followed,
    followed_on,
    start,
    told,
)
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


def arrivals(robot: Robot) -> dict[int, int]:
    """The numbers that the node gives the frames, by their stamp's seconds, as they come."""
    numbers: dict[int, int] = {}
    put = robot.node.frames.put

    def noted(image: Image) -> None:
        put(image)
        numbers[image.header.stamp.sec] = robot.node.frames.received

    (camera,) = (item for item in robot.node.subscriptions if item.msg_type is Image)
    camera.callback = noted
    return numbers


def drain(robot: Robot) -> None:
    """Take what was published so far; the rejection of one more question leaves all else alone."""
    robot.operator.ask("?")
    while robot.operator.result().query != "?":
        pass


def test_every_later_frame_gets_the_same_objects_under_its_own_header(follower) -> None:
    robot, _ = follower
    answer = start(robot, 1)
    for second in range(2, 8):
        image = picture(second)
        result = followed_on(robot, image)
        assert result.state in FOLLOWED
        assert (result.query, result.query_id) == ("the red ball", answer.query_id)
        assert sorted([item.id for item in result.objects] + list(result.lost)) == [1]
        assert result.header == result.mask.header == image.header
        assert set(result.mask.data) == {0, *(item.id for item in result.objects)} | {0}
        assert (result.state == Segmentation.LOST) == (not result.objects)


def test_what_is_not_seen_is_lost_and_what_returns_is_tracked(follower) -> None:
    robot, models = follower
    start(robot)
    models.blind = True
    result = followed_on(robot, picture(2))
    assert (result.state, list(result.objects), list(result.lost)) == (Segmentation.LOST, [], [1])
    assert not any(result.mask.data)
    assert len(result.mask.data) == 64 * 48
    models.blind = False
    assert followed_on(robot, picture(3)).state in FOLLOWED


def test_after_a_slow_answer_the_newest_frame_is_followed_and_all_are_counted(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower(catch_up=4, history=16)
    arrived = arrivals(robot)
    newest: list[int] = []  # when each step was done
    models.on_step = lambda: newest.append(robot.node.frames.received)
    with filming(robot.operator):
        wait_until(lambda: len(arrived) > 3, "frames")
        enough = len(arrived) + 60
        models.ready = lambda: len(arrived) >= enough
        robot.operator.ask("the red ball")
        asked = arrived[robot.operator.result().header.stamp.sec]
        results = [robot.operator.result() for _ in range(20)]
    while max(arrived) != results[-1].header.stamp.sec:
        results.append(robot.operator.result())

    followed = [arrived[result.header.stamp.sec] for result in results]
    assert {result.state for result in results} <= set(FOLLOWED)
    assert followed == sorted(set(followed))
    caught_up = len(newest) - len(followed)
    assert 0 < caught_up <= 4
    # What is published was the newest when the step before was done.
    before = newest[caught_up - 1 :]
    assert all(this >= done for this, done in zip(followed, before, strict=False))
    wait_until(lambda: told(robot, "frames followed") == len(followed), "the counts")
    skipped = told(robot, "frames skipped")
    assert asked + caught_up + len(followed) + skipped == robot.node.frames.received
    assert skipped >= 30  # of sixty


def test_nothing_is_kept_while_no_answer_is_waited_for(follower) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    assert not robot.node.frames._histories


STOPS: dict[str, Callable[[Robot], object]] = {
    "empty question": lambda robot: robot.operator.ask(""),
    "clear": lambda robot: robot.operator.call(Trigger, "clear", Trigger.Request()),
    "parameter": lambda robot: robot.operator.set_parameter("follow", False),
    "deactivate": lambda robot: robot.operator.transition(Transition.TRANSITION_DEACTIVATE),
}


@pytest.mark.parametrize("how", STOPS)
def test_following_stops_and_nothing_more_is_said(follower, how: str) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    STOPS[how](robot)
    if how == "deactivate":
        assert robot.operator.transition(Transition.TRANSITION_ACTIVATE)
        robot.operator.connect()
    drain(robot)
    assert_nothing_is_followed(robot)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("empty question", "stopped by an empty question"),
        ("clear", "stopped by ~/clear"),
        ("parameter", "follow was set to false"),
        ("deactivate", "the node was deactivated"),
    ],
)
def test_the_log_says_why_nothing_is_followed_any_more(
    follower, capfd: pytest.CaptureFixture[str], how: str, reason: str
) -> None:
    robot, _ = follower
    answer = start(robot)
    followed_on(robot, picture(2))
    STOPS[how](robot)
    if how == "parameter":
        robot.see(picture(3))
    line = f"The objects of question {answer.query_id} are forgotten: {reason}."
    logged: list[str] = []

    def is_logged() -> bool:
        logged.append(capfd.readouterr().err)
        return line in "".join(logged)

    wait_until(is_logged, line)


def test_clear_says_what_it_stopped(follower) -> None:
    robot, _ = follower

    def clear() -> str:
        response = robot.operator.call(Trigger, "clear", Trigger.Request())
        assert response.success
        return response.message

    assert clear() == "nothing was under way"
    start(robot)
    followed_on(robot, picture(2))
    assert clear() == "forgot the objects of question 1"


def test_a_new_question_takes_the_place_of_the_followed_one(follower) -> None:
    robot, _ = follower
    start(robot, 1)
    followed_on(robot, picture(2))
    robot.operator.ask("the blue ball")
    while (result := robot.operator.result()).query != "the blue ball":
        assert result.state in FOLLOWED
    assert (result.state, result.query_id) == (Segmentation.ANSWERED, 2)
    second = 3
    while (result := followed_on(robot, picture(second))).query_id == 1:
        second += 1  # the old objects go on until the new ones are followed
    assert (result.state in FOLLOWED, result.query_id) == (True, 2)
