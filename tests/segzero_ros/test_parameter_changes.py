"""Parameters of a running node: some change at once, the others say what has to come first."""

import pytest

from tests.segzero_ros.robot import Robot

pytestmark = pytest.mark.ros


def test_parameters_are_fixed_while_configured(robot: Robot) -> None:
    result = robot.operator.set_parameter("profile", "seg-zero-7b")
    assert not result.successful
    assert "clean the node up" in result.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reask", "every"),
        ("reask_period", 3.0),
        ("catch_up", 2),
        ("history", 8),
        ("first_frame_timeout", 1.0),
        ("depth_tolerance", 0.1),
        ("camera_timeout", 1.0),
        ("target_frame", ""),
    ],
)
def test_parameters_change_while_it_follows(follower, name: str, value: object) -> None:
    robot, _ = follower
    assert robot.operator.set_parameter(name, value).successful


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("profile", "seg-zero-7b", "clean the node up before you change profile"),
        ("image_transport", "compressed", "deactivate it before you change image_transport"),
        ("use_depth", True, "deactivate it before you change use_depth"),
        ("reask", "sometimes", "reask must be one of never, on_lost, every"),
    ],
)
def test_a_parameter_that_can_not_change_now_says_what_to_do(
    follower, name: str, value: object, reason: str
) -> None:
    robot, _ = follower
    result = robot.operator.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason
