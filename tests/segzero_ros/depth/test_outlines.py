"""Outlines of masks in 3D lie on the object and follow its mask."""

import cv2
import numpy as np
import pytest

from segzero_ros.depth.calibration import Intrinsics
from segzero_ros.depth.cloud import DepthView, lift_mask
from segzero_ros.depth.outlines import lift_outlines

CAMERA = Intrinsics(fx=60.0, fy=60.0, cx=31.5, cy=23.5)
POSE = np.array([[0.0, 0, 1, 5], [-1, 0, 0, 6], [0, -1, 0, 7], [0, 0, 0, 1]])


def table(mask: np.ndarray, metres: float = 2.0) -> DepthView:
    """A flat object half a metre before a wall."""
    depth = np.where(mask, metres, metres + 0.5).astype(np.float32)
    return DepthView(depth, 1.0, CAMERA)


def drawn(*squares: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    for left, top, side in squares:
        mask[top : top + side, left : left + side] = 1
    return mask


@pytest.mark.parametrize("pose", [None, POSE], ids=["camera", "another frame"])
def test_the_corners_of_a_square_are_found(pose: np.ndarray | None) -> None:
    mask = drawn((20, 10, 13))
    points = lift_mask(mask, table(mask), pose).points
    (outline,) = lift_outlines(mask == 1, points, CAMERA, pose)
    if pose is not None:
        outline = (outline - pose[:3, 3]) @ pose[:3, :3]
    pixels = outline[:, :2] / outline[:, 2:] * 60 + [31.5, 23.5]
    expected = {(20, 10), (32, 10), (32, 22), (20, 22)}
    assert {(round(u), round(v)) for u, v in pixels} == expected
    np.testing.assert_allclose(outline[:, 2], 2, atol=1e-5)


def test_each_part_has_its_outline() -> None:
    mask = drawn((5, 5, 8), (30, 20, 10))
    outlines = lift_outlines(mask == 1, lift_mask(mask, table(mask)).points, CAMERA)
    assert sorted(len(outline) for outline in outlines) == [4, 4]


def test_an_outline_takes_the_depth_of_the_object_not_of_what_is_behind() -> None:
    mask = drawn((20, 10, 13))
    wide = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.uint8)
    (outline,) = lift_outlines(wide == 1, lift_mask(wide, table(mask)).points, CAMERA)
    np.testing.assert_allclose(outline[:, 2], 2, atol=1e-5)


def test_a_large_object_is_outlined_from_a_part_of_its_points() -> None:
    mask = np.pad(np.ones((400, 600), np.uint8), 40)
    camera = Intrinsics(500.0, 500.0, 340.0, 240.0)
    slope = np.linspace(1, 2, mask.shape[1], dtype=np.float32)
    view = DepthView(np.broadcast_to(slope, mask.shape), 1.0, camera)
    (outline,) = lift_outlines(mask == 1, lift_mask(mask, view).points, camera)
    columns = np.rint(outline[:, 0] / outline[:, 2] * 500 + 340).astype(int)
    np.testing.assert_allclose(outline[:, 2], slope[columns], atol=0.05)
