"""Poses for grasping: where an object is, how it is turned, one for each goal."""

import numpy as np
import pytest

from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.depth.transforms import matrix
from segzero_ros.results.poses import goal_frame, goal_poses, object_boxes, to_transform
from tests.segzero_ros.results.results_3d import BASE, TRACKS, located, result


@pytest.mark.parametrize(("pose", "frame"), [(None, "eye"), (BASE, "base")])
def test_a_pose_is_the_centre_of_the_object_in_the_points_frame(pose, frame: str) -> None:
    place = located(pose)
    found = goal_poses(result(place), object_boxes(result(place), place))["fetch"]
    assert (found.header.frame_id, found.header.stamp.sec) == (frame, 12)
    at = np.array([(18 - 31.5) / 30, (14 - 23.5) / 30, 2, 1])
    expected = at if pose is None else pose @ at
    position = found.pose.position
    np.testing.assert_allclose([position.x, position.y, position.z], expected[:3], atol=1e-5)


@pytest.mark.parametrize("pose", [None, BASE], ids=["camera", "another frame"])
def test_z_leads_away_from_the_camera_and_x_along_the_longer_side(pose) -> None:
    place = located(pose)
    found = goal_poses(result(place), object_boxes(result(place), place))[""]
    axes = matrix(to_transform(found, "x"))[:3, :3]
    to_frame = np.eye(3) if pose is None else pose[:3, :3]
    np.testing.assert_allclose(axes[:, 2], to_frame @ [0, 0, 1], atol=1e-4)
    np.testing.assert_allclose(abs(axes[:, 0]), abs(to_frame @ [1, 0, 0]), atol=1e-4)


@pytest.mark.parametrize(
    ("tracks", "goals"),
    [(TRACKS, {"fetch", ""}), (TRACKS[1:], {""}), (TRACKS[2:], set()), ((), set())],
    ids=["both", "one without depth", "none with depth", "no objects"],
)
def test_each_goal_with_a_located_object_has_a_pose(tracks, goals: set[str]) -> None:
    place: LocatedObjects = located()
    found = result(place, tracks=tracks)
    assert goal_poses(found, object_boxes(found, place)).keys() == goals


@pytest.mark.parametrize(
    ("node", "goal", "frame"),
    [
        ("/segzero", "", "segzero"),
        ("/segzero", "fetch", "segzero/fetch"),
        ("/front/segzero", "the mug", "front/segzero/the mug"),
    ],
)
def test_the_frame_of_a_goal_has_the_nodes_name(node: str, goal: str, frame: str) -> None:
    assert goal_frame(node, goal) == frame
