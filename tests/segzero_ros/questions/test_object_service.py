"""Objects that are shown by boxes and points, over real DDS with tiny models."""

from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point32
from sensor_msgs.msg import Image

from segzero_ros.msg import ObjectPrompt, Segmentation
from segzero_ros.srv import AddObjects, RemoveObjects
from tests.segzero_ros.filming import filming
from tests.segzero_ros.moving_scene import FOLLOWED, MakeFollower, followed_on
from tests.segzero_ros.robot import Robot, picture

pytestmark = pytest.mark.ros

BOX = [8.0, 8.0, 40.0, 40.0]


def prompt(label: str = "", box: list[float] | None = None, **points: list[Any]) -> ObjectPrompt:
    points = {key: [Point32(x=x, y=y) for x, y in group] for key, group in points.items()}
    return ObjectPrompt(label=label, box=box or [], **points)


def add(robot: Robot, *objects: ObjectPrompt, goal: str = "", image: Image | None = None) -> Any:
    request = AddObjects.Request(goal=goal, objects=objects, image=image or Image())
    return robot.operator.call(AddObjects, "add_objects", request)


SHOWN = {
    "box": prompt("mug", BOX),
    "points": prompt("mug", positive=[(20.0, 20.0)]),
    "points against others": prompt("mug", positive=[(20.0, 20.0)], negative=[(60.0, 40.0)]),
    "all": prompt("mug", BOX, positive=[(20.0, 20.0)], negative=[(60.0, 40.0)]),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_what_is_shown_is_followed_at_once(follower, kind: str) -> None:
    robot, _ = follower
    robot.see(picture(1))
    response = add(robot, SHOWN[kind], goal="fetch")
    assert response.success, response.message
    (item,) = response.added
    assert (item.id, item.track_id, item.goal, item.label) == (1, 1, "fetch", "mug")
    assert set(np.unique(response.mask.data)) <= {0, 1}
    result = followed_on(robot, picture(2))
    assert result.state in FOLLOWED
    assert [(goal.goal, goal.query, list(goal.ids)) for goal in result.goals] == [
        ("fetch", "", [1])
    ]


def test_shown_objects_join_those_of_their_goal_and_can_be_removed(follower) -> None:
    robot, _ = follower
    with filming(robot.operator):
        answer = robot.operator.answer("the red ball")
        while robot.operator.result().state not in FOLLOWED:
            pass
        (shown,) = add(robot, prompt("box", BOX)).added
        while len((result := robot.operator.result()).goals) < 2:
            pass
        assert [list(goal.ids) for goal in result.goals] == [[answer.objects[0].id], [shown.id]]
        request = RemoveObjects.Request(track_ids=[shown.track_id])
        assert robot.operator.call(RemoveObjects, "remove_objects", request).success
        while len((result := robot.operator.result()).goals) > 1:
            pass
    assert result.query == "the red ball"


def test_they_are_drawn_while_a_question_is_thought_about(make_follower: MakeFollower) -> None:
    robot, models = make_follower()
    robot.see(picture(1))
    models.ready = lambda: False
    robot.operator.ask("the red ball")
    assert add(robot, prompt("box", BOX), goal="other").success


REFUSED = {
    "nothing": (),
    "neither box nor point": (prompt("mug"),),
    "only points outside": (prompt("mug", negative=[(2.0, 2.0)]),),
    "three numbers": (prompt("mug", [1.0, 2.0, 3.0]),),
    "empty box": (prompt("mug", [8.0, 8.0, 8.0, 20.0]),),
    "box outside of the image": (prompt("mug", [100.0, 8.0, 140.0, 20.0]),),
    "not a number": (prompt("mug", [float("nan"), 8.0, 40.0, 40.0]),),
    "infinite point": (prompt("mug", positive=[(float("inf"), 2.0)]),),
    "point outside of the image": (prompt("mug", positive=[(64.0, 2.0)]),),
    "too many": (prompt("mug", BOX),) * 121,
    "one bad of two": (prompt("mug", BOX), prompt("box")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_drawn_is_refused_whole(follower, case: str) -> None:
    robot, _ = follower
    robot.see(picture(1))
    response = add(robot, *REFUSED[case])
    assert (response.success, response.error_code) == (False, Segmentation.ERROR_BAD_QUESTION)
    assert response.message and not response.added
    assert add(robot, prompt("mug", BOX)).added[0].id == 1


def test_without_an_image_it_says_so(follower) -> None:
    robot, _ = follower
    assert add(robot, prompt("mug", BOX)).error_code == Segmentation.ERROR_NO_IMAGE


def test_an_image_of_its_own_is_used(follower) -> None:
    robot, _ = follower
    response = add(robot, prompt("mug", BOX), image=picture(7))
    assert response.success
    assert response.mask.header == picture(7).header
    assert followed_on(robot, picture(8)).state in FOLLOWED


def test_a_node_that_is_not_active_says_so(make_robot) -> None:
    robot = make_robot()
    response = add(robot, prompt("mug", BOX))
    assert (response.success, "activate it" in response.message) == (False, True)
