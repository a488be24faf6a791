"""What the examples compute, without a node: poses in a frame whose z points up, and changes."""

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Vector3
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from segzero_ros.client import NoAnswer
from segzero_ros.msg import Segmentation, SegmentedObject

EXAMPLES = Path(__file__).parents[2] / "examples"


def function(program: str, name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{program}.py"))[name]


def seen(place: tuple[float, float, float], extent: tuple[float, float, float]) -> Segmentation:
    """A result in the frame of the robot's base."""
    x, y, z = place
    item = SegmentedObject(
        located=True,
        centroid=Point(x=x, y=y, z=z),
        extent=Vector3(x=extent[0], y=extent[1], z=extent[2]),
    )
    header = Header(frame_id="camera_optical_frame", stamp=Time(sec=5))
    return Segmentation(header=header, points_frame_id="base_link", objects=[item])


def parts(message: PoseStamped) -> tuple[np.ndarray, np.ndarray]:
    """Position, and the x, y and z axis."""
    at, q = message.pose.position, message.pose.orientation
    return np.array([at.x, at.y, at.z]), Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix().T


@pytest.mark.parametrize(
    ("extent", "closing"),
    [((0.04, 0.2, 0.1), (1, 0, 0)), ((0.2, 0.04, 0.1), (0, 1, 0)), ((0.1, 0.1, 0.02), (1, 0, 0))],
)
def test_the_gripper_comes_from_above_and_closes_along_the_narrower_side(
    extent: tuple[float, float, float], closing: tuple[int, int, int]
) -> None:
    result = seen((0.4, -0.1, 0.05), extent)
    message = function("grasp_pose", "grasp_pose")(result, result.objects[0])
    position, axes = parts(message)
    np.testing.assert_allclose(position, (0.4, -0.1, 0.05))
    np.testing.assert_allclose(axes[2], (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(axes[0], closing, atol=1e-9)
    assert (message.header.frame_id, message.header.stamp.sec) == ("base_link", 5)


@pytest.mark.parametrize("angle", [0.0, 2.0, -3.0])
def test_the_robot_stands_on_the_ground_before_the_object_and_faces_it(angle: float) -> None:
    direction = np.array([math.cos(angle), math.sin(angle), 0.0])
    x, y, _ = (2.0 * direction).tolist()
    result = seen((x, y, 0.7), (0.1, 0.1, 0.1))
    position, axes = parts(function("approach", "goal_pose")(result, result.objects[0], 0.5))
    np.testing.assert_allclose(position, 1.5 * direction, atol=1e-9)
    np.testing.assert_allclose(axes[0], direction, atol=1e-9)
    np.testing.assert_allclose(axes[2], (0, 0, 1), atol=1e-9)


def test_before_an_object_that_is_near_the_robot_only_turns() -> None:
    result = seen((0.0, -0.3, 0.2), (0.1, 0.1, 0.1))
    position, axes = parts(function("approach", "goal_pose")(result, result.objects[0], 0.5))
    np.testing.assert_allclose(position, (0, 0, 0))
    np.testing.assert_allclose(axes[0], (0, -1, 0), atol=1e-9)


def test_there_is_no_way_to_an_object_right_above() -> None:
    result = seen((0.0, 0.0, 1.0), (0.1, 0.1, 0.1))
    with pytest.raises(NoAnswer, match="right above"):
        function("approach", "goal_pose")(result, result.objects[0], 0.5)


@pytest.mark.parametrize(
    ("frames", "changes"),
    [
        ("xxxx", []),
        ("x..x", ["out of sight", "back after 2.0 s"]),
        ("x....", ["out of sight", "gone for 3.0 s"]),
        ("x.x...", ["out of sight", "back after 1.0 s", "out of sight"]),
    ],
)
def test_watch_tells_a_short_absence_from_a_long_one(frames: str, changes: list[str]) -> None:
    results = [
        Segmentation(
            header=Header(stamp=Time(sec=second)),
            objects=[SegmentedObject(goal="watch" if frame == "x" else "another")],
        )
        for second, frame in enumerate(frames, start=1)
    ]
    assert list(function("watch", "changes")(results, 3.0)) == changes
