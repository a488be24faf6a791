"""Boxes turned as the objects are: known boxes come back, round things keep still."""

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, TransformStamped
from numpy.typing import NDArray

from segzero_ros.depth.oriented_box import oriented_box
from segzero_ros.depth.transforms import matrix, quaternion

SIZE = np.array([0.3, 0.1, 0.02])
FAR = np.array([0.2, -0.1, 1.5])


def turned(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A rotation by three angles in degrees, about z, then y, then x."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.radians([x, y, z])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def brick(rotation: NDArray[np.float64], centre: NDArray[np.float64] = FAR) -> NDArray[np.float32]:
    """A grid of points that fills a box."""
    steps = np.linspace(-0.5, 0.5, 9)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return (grid * SIZE @ rotation.T + centre).astype(np.float32)


ROTATIONS = [(0, 0, 0), (20, 0, 0), (0, -35, 10), (15, 25, 60), (-40, 30, -70), (170, 5, 100)]


@pytest.mark.parametrize("angles", ROTATIONS)
def test_a_box_comes_back_as_it_is(angles: tuple[float, float, float]) -> None:
    rotation = turned(*angles)
    box = oriented_box(brick(rotation))
    np.testing.assert_allclose(box.center, FAR, atol=1e-5)
    np.testing.assert_allclose(box.size, SIZE, atol=1e-5)
    np.testing.assert_allclose(abs(np.sum(box.rotation * rotation, axis=0)), 1, atol=1e-6)


@pytest.mark.parametrize("angles", ROTATIONS)
@pytest.mark.parametrize("viewpoint", [None, np.array([0.0, 0.0, 4.0])], ids=["eye", "behind"])
def test_its_axes_are_right_handed_and_z_leads_away_from_the_camera(
    angles: tuple[float, float, float], viewpoint: NDArray[np.float64] | None
) -> None:
    box = oriented_box(brick(turned(*angles)), viewpoint)
    np.testing.assert_allclose(box.rotation.T @ box.rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(box.rotation) == pytest.approx(1)
    eye = np.zeros(3) if viewpoint is None else viewpoint
    assert box.rotation[:, 2] @ (box.center - eye) > 0
    assert box.rotation[0, 0] >= 0


def ball(rng: np.random.Generator) -> NDArray[np.float64]:
    """The half of a sphere that a camera sees."""
    points = rng.normal(size=(500, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[:, 2] = -abs(points[:, 2])
    return 0.05 * points


def disc(rng: np.random.Generator) -> NDArray[np.float64]:
    angle, radius = rng.uniform(0, 2 * np.pi, 500), np.sqrt(rng.uniform(size=500))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1) * 0.05


def rod(rng: np.random.Generator) -> NDArray[np.float64]:
    return disc(rng) * [0.1, 0.1, 0] + rng.uniform(-0.2, 0.2, (500, 1)) * [1, 0, 0]


def cloud(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=(500, 3)) * 0.05


@pytest.mark.parametrize("shape", [ball, disc, rod, cloud])
def test_what_is_round_does_not_turn_from_frame_to_frame(shape) -> None:
    boxes = [
        oriented_box((shape(np.random.default_rng(seed)) + FAR).astype(np.float32))
        for seed in range(5)
    ]
    for box in boxes[1:]:
        turns = np.sum(box.rotation * boxes[0].rotation, axis=0)
        assert turns.min() > np.cos(np.radians(15))


@pytest.mark.parametrize("shape", [ball, disc, rod, cloud])
@pytest.mark.parametrize("angles", ROTATIONS)
def test_every_point_lies_in_the_box(shape, angles: tuple[float, float, float]) -> None:
    points = (shape(np.random.default_rng(1)) @ turned(*angles).T + FAR).astype(np.float32)
    box = oriented_box(points)
    local = (points - box.center) @ box.rotation
    np.testing.assert_allclose(abs(local).max(axis=0), box.size / 2, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_points_have_a_box_too(count: int) -> None:
    points = (np.diag([0, 0.1, 0.02])[:count, [1, 2, 0]] + FAR).astype(np.float32)
    box = oriented_box(points)
    assert np.isfinite([*box.center, *box.size, *box.rotation.ravel()]).all()
    assert box.size[0] == pytest.approx([0, 0.1, 0.1][count - 1], abs=0.003)


@pytest.mark.parametrize("angles", [*ROTATIONS, (180, 0, 0), (0, 180, 0), (0, 0, 180)])
def test_the_quaternion_of_a_rotation_is_that_rotation(angles: tuple[float, float, float]) -> None:
    rotation = turned(*angles)
    x, y, z, w = quaternion(rotation)
    message = TransformStamped()
    message.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    np.testing.assert_allclose(matrix(message)[:3, :3], rotation, atol=1e-9)
    assert w >= 0
    assert np.linalg.norm([x, y, z, w]) == pytest.approx(1)
