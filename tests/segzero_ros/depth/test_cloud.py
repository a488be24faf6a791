"""A mask and a depth image become points, checked against the simulator's geometry."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segzero_ros.depth.calibration import Intrinsics
from segzero_ros.depth.cloud import DepthUnavailable, DepthView, lift_mask, lift_masks
from segzero_sim.rays import cast
from segzero_sim.tabletop import Frame, TabletopRenderer, draw_usable

WIDTH, HEIGHT = 320, 240
SEEDS = range(500_000, 500_012)
UNITS = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 0.001)}
SQUARE = np.pad(np.ones((8, 8), np.uint8), 4)
"""One object in the middle of 16x16 pixels."""
CAMERA = Intrinsics(fx=16.0, fy=16.0, cx=7.5, cy=7.5)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the camera sees of a scene, and the points (N, 3) of each object that rays hit."""

    frame: Frame
    focal_length: float
    ground_truth: dict[int, NDArray[np.float64]]

    def depth(self, encoding: str) -> NDArray:
        dtype, unit = UNITS[encoding]
        return (np.rint(self.frame.depth / unit) if unit < 1 else self.frame.depth).astype(dtype)


@pytest.fixture(scope="module")
def views() -> list[View]:
    views = []
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        for seed in SEEDS:
            scene, frame = draw_usable(renderer, seed)
            points, hit = cast(renderer, scene, WIDTH, HEIGHT)
            numbers = range(1, len(scene.objects) + 1)
            ground_truth = {number: points[hit == number] for number in numbers}
            views.append(View(frame, renderer.focal_length(scene), ground_truth))
    return views


def mixed(depth: NDArray) -> NDArray:
    """As a camera that mixes the surfaces within a pixel."""
    return cv2.blur(depth, (2, 2))


def widened(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Masks that go a pixel too far."""
    return np.where(ids, ids, cv2.dilate(ids, np.ones((3, 3), np.uint8)))


def same(pixels: NDArray) -> NDArray:
    return pixels


FLAWS = {
    "none": (same, same, 0.95),
    "wide mask": (widened, same, 0.5),  # what it takes of the table is no outlier
    "mixed depth": (same, mixed, 0.9),
}
"""What happens to the mask and to the depth, and which share of the extents has to be right."""


@pytest.mark.parametrize("encoding", UNITS)
@pytest.mark.parametrize("flaw", FLAWS)
def test_objects_are_where_rays_hit_them_and_as_large(
    views: list[View], encoding: str, flaw: str
) -> None:
    change_ids, change_depth, share = FLAWS[flaw]
    off, ratios = [], []
    for view in views:
        camera = Intrinsics(view.focal_length, view.focal_length, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
        depth = DepthView(change_depth(view.depth(encoding)), UNITS[encoding][1], camera)
        cloud = lift_mask(change_ids(view.frame.ids), depth)
        assert cloud.objects.keys() == view.ground_truth.keys()
        for number, points in view.ground_truth.items():
            centroid, place = points.mean(axis=0), cloud.objects[number]
            off.append(np.linalg.norm(place.centroid - centroid) / np.linalg.norm(centroid))
            ratios.append(place.extent / np.ptp(points, axis=0))
    wrong = np.abs(np.array(ratios) - 1)
    print(
        f"{len(off)} objects: centroids off by at most {1000 * max(off):.2f} mm at 1 m; "
        f"extents by {100 * np.median(wrong):.1f} % (p50), {100 * np.quantile(wrong, 0.95):.1f} % "
        f"(p95), {100 * wrong.max():.1f} % (max); {100 * (wrong <= 0.1).mean():.1f} % within 10 %"
    )
    assert max(off) <= 0.01
    # A face that is a pixel wide can't be told from pixels that mix object and background.
    assert (wrong <= 0.1).mean() >= share


@pytest.mark.parametrize("invalid", [0.0, -1.0, np.nan, np.inf])
def test_pixels_without_valid_depth_have_no_point(invalid: float) -> None:
    depth = np.full((16, 16), 2.0, np.float32)
    depth[6:8] = invalid
    cloud = lift_mask(SQUARE, DepthView(depth, 1.0, CAMERA))
    assert len(cloud.points) == 8 * 6
    assert np.isfinite(cloud.points).all()
    assert (cloud.points[:, 2] == 2).all()
    depth[:] = invalid
    assert lift_mask(SQUARE, DepthView(depth, 1.0, CAMERA)).objects == {}


def flawed(
    ids: NDArray[np.uint8], encoding: str, value: float, share: float, where: str
) -> DepthView:
    """An object at 1 m, before a wall at 2 m, with a share of its pixels at another depth."""
    depth = np.where(ids, 1.0, 2.0)
    if where == "scattered":
        bad = np.random.default_rng(3).random(ids.shape) < share
    else:  # in one place
        bad = np.zeros(ids.shape, bool)
        side = round(np.sqrt(share * ids.sum()))
        bad[40 : 40 + side, 40 : 40 + side] = True
    depth[bad] = value
    dtype, unit = UNITS[encoding]
    pixels: NDArray = np.rint(depth / unit) if unit < 1 else depth
    return DepthView(pixels.astype(dtype), unit, Intrinsics(100.0, 100.0, 63.5, 63.5))


@pytest.mark.parametrize("where", ["scattered", "in one place"])
@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        *(("16UC1", metres) for metres in (0.3, 10.0, 65.534, 65.535)),
        *(("32FC1", metres) for metres in (0.01, 3.0, 1000.0)),
    ],
)
def test_a_few_far_pixels_do_not_move_an_object(
    encoding: str, value: float, share: float, where: str
) -> None:
    v, u = np.mgrid[:128, :128]
    ids = ((v - 63.5) ** 2 + (u - 63.5) ** 2 < 40**2).astype(np.uint8)
    place = lift_mask(ids, flawed(ids, encoding, value, share, where)).objects[1]
    np.testing.assert_allclose(place.centroid, [0, 0, 1], atol=0.02)
    np.testing.assert_allclose(place.extent, [0.79, 0.79, 0], atol=0.02)


def test_saturated_depth_is_no_depth_at_any_share() -> None:
    depth = np.full((16, 16), 1000, np.uint16)
    depth[:, :9] = 65535
    cloud = lift_mask(SQUARE, DepthView(depth, 0.001, CAMERA))
    assert len(cloud.points) == 8 * 3
    assert (cloud.points[:, 2] == 1).all()


def test_a_long_object_keeps_its_ends() -> None:
    ids = np.zeros((240, 320), np.uint8)
    ids[40:220, 60:260] = 1
    depth = np.empty((240, 320), np.float32)
    depth[:] = 60 / np.arange(1, 241)[:, None]  # a floor that is 5 times as far at its end
    place = lift_mask(ids, DepthView(depth, 1.0, CAMERA)).objects[1]
    assert place.extent[2] == pytest.approx(60 / 41 - 60 / 220, rel=0.05)


def test_an_object_in_two_parts_keeps_both() -> None:
    depth = np.full((16, 16), 1.0, np.float32)
    depth[:, 8:] = 1.5
    place = lift_mask(SQUARE, DepthView(depth, 1.0, CAMERA)).objects[1]
    assert place.extent[2] == pytest.approx(0.5)


def test_ids_beyond_a_byte_keep_their_meaning() -> None:
    ids = SQUARE.astype(np.uint16) * 700
    cloud = lift_mask(ids, DepthView(np.full((16, 16), 1.0, np.float32), 1.0, CAMERA))
    assert (cloud.objects.keys(), set(cloud.ids.tolist())) == ({700}, {700})


def test_pixels_become_points_by_the_pinhole() -> None:
    depth = np.full((16, 16), 2.0, np.float32)
    cloud = lift_mask(SQUARE, DepthView(depth, 1.0, CAMERA))
    v, u = np.nonzero(SQUARE)
    expected = np.stack([(u - 7.5) / 8, (v - 7.5) / 8, np.full(64, 2.0)], axis=1)
    np.testing.assert_allclose(cloud.points, expected)
    np.testing.assert_allclose(cloud.objects[1].centroid, [0, 0, 2], atol=1e-6)
    np.testing.assert_allclose(cloud.objects[1].extent, [7 / 8, 7 / 8, 0])


def test_a_pose_takes_points_to_another_frame() -> None:
    depth = np.full((16, 16), 2.0, np.float32)
    pose = np.array([[0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
    place = lift_mask(SQUARE, DepthView(depth, 1.0, CAMERA), pose).objects[1]
    np.testing.assert_allclose(place.centroid, [2.5, 0, 1], atol=1e-6)
    np.testing.assert_allclose(place.extent, [0, 7 / 8, 7 / 8], atol=1e-6)


def test_each_point_carries_the_id_of_its_object() -> None:
    ids = np.zeros((16, 16), np.uint8)
    ids[2:6, 2:6], ids[10:15, 10:15] = 3, 7
    cloud = lift_mask(ids, DepthView(np.full((16, 16), 1.0, np.float32), 1.0, CAMERA))
    assert cloud.objects.keys() == {3, 7}
    assert np.bincount(cloud.ids).tolist() == [0, 0, 0, 16, 0, 0, 0, 25]
    assert (cloud.points[cloud.ids == 3, 0] < 0).all()


def test_depth_of_another_size_is_refused() -> None:
    with pytest.raises(DepthUnavailable, match="8×16, but the image 16×16: let the driver"):
        lift_mask(SQUARE, DepthView(np.ones((16, 8), np.float32), 1.0, CAMERA))


def test_two_objects_with_the_same_pixels_have_the_same_place() -> None:
    depth = np.full((16, 16), 1.0, np.float32)
    view, mask = DepthView(depth, 1.0, CAMERA), SQUARE == 1
    alone = lift_mask(SQUARE, view).objects[1]
    cloud = lift_masks({1: mask, 4: mask}, view)
    assert set(cloud.objects) == {1, 4}
    for place in cloud.objects.values():
        np.testing.assert_array_equal(place.centroid, alone.centroid)
        np.testing.assert_array_equal(place.extent, alone.extent)
