import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from segzero_sim.motion import PERIOD, Motion, sample_motion
from segzero_sim.scene import TABLE, Scene
from segzero_sim.tabletop import TabletopRenderer

RATE = 30
"""Frames a second."""


def leavers(motion: Motion) -> list[int]:
    """Ids of the objects that leave."""
    return [number for number, path in enumerate(motion.paths, 1) if path.leave is not None]


def scenes(motion: Motion, seconds: float = 8.0) -> list[Scene]:
    return [motion.at(k / RATE) for k in range(int(seconds * RATE))]


def with_a_leaver() -> Motion:
    return next(motion for motion in map(sample_motion, range(100)) if leavers(motion))


def test_a_seed_is_a_motion() -> None:
    first, again = sample_motion(7), sample_motion(7)
    assert [first.at(t) for t in (0.0, 1.3, 4.0)] == [again.at(t) for t in (0.0, 1.3, 4.0)]
    assert first.at(1.3) != sample_motion(8).at(1.3)


@pytest.mark.parametrize("seed", range(5))
def test_it_begins_with_the_scene_and_repeats(seed: int) -> None:
    motion = sample_motion(seed)
    for seconds in (0.0, PERIOD):
        for item, start in zip(motion.at(seconds).objects, motion.start.objects, strict=True):
            assert (item.x, item.y, item.yaw) == pytest.approx((start.x, start.y, start.yaw))


@pytest.mark.parametrize("seed", range(5))
def test_objects_stay_the_same_and_in_order(seed: int) -> None:
    def looks(scene: Scene) -> list[tuple]:
        return [(item.shape, item.colour, item.size, item.tint) for item in scene.objects]

    motion = sample_motion(seed)
    assert all(looks(scene) == looks(motion.start) for scene in scenes(motion, 1.0))


@pytest.mark.parametrize("seed", range(8))
def test_nothing_jumps_between_two_frames(seed: int) -> None:
    motion = sample_motion(seed)
    found = scenes(motion)
    for before, after in pairwise(found):
        for number, (a, b) in enumerate(zip(before.objects, after.objects, strict=True), 1):
            fastest = 1.5 if number in leavers(motion) else 0.65
            assert math.hypot(a.x - b.x, a.y - b.y) <= fastest / RATE
            assert abs(a.yaw - b.yaw) <= 1.5 / RATE
        one, two = before.camera, after.camera
        assert abs(one.azimuth - two.azimuth) <= math.radians(15) / RATE
        assert abs(one.elevation - two.elevation) <= math.radians(5) / RATE


@pytest.mark.parametrize("seed", range(12))
def test_objects_keep_clear_of_each_other_and_on_the_table(seed: int) -> None:
    motion = sample_motion(seed)
    for scene in scenes(motion, PERIOD)[::3]:
        for a, b in combinations(scene.objects, 2):
            assert math.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius
        for number, item in enumerate(scene.objects, 1):
            if number not in leavers(motion):
                assert abs(item.x) <= TABLE[0]
                assert abs(item.y) <= TABLE[1]


@pytest.mark.slow
def test_most_objects_and_every_camera_move() -> None:
    motions = [sample_motion(seed) for seed in range(40)]
    far = [
        math.hypot(a.x - b.x, a.y - b.y)
        for motion in motions
        for a, b in zip(motion.start.objects, motion.at(2.0).objects, strict=True)
    ]
    assert np.mean(np.array(far) > 0.02) > 0.5
    for motion in motions:
        azimuths = [scene.camera.azimuth for scene in scenes(motion)]
        assert np.ptp(azimuths) > math.radians(1)


def test_some_motions_have_an_object_that_leaves_and_never_two() -> None:
    counts = [len(leavers(sample_motion(seed))) for seed in range(60)]
    assert max(counts) == 1
    assert 0.2 < np.mean(counts) < 0.6


def test_who_leaves_is_out_of_the_picture_and_comes_back(renderer: TabletopRenderer) -> None:
    motion = with_a_leaver()
    (number,) = leavers(motion)
    leave = motion.paths[number - 1].leave
    assert leave is not None

    def shown(seconds: float) -> int:
        return int((renderer.render(motion.at(seconds), depth=False).ids == number).sum())

    assert shown(leave.start) > 0
    assert shown(leave.start + leave.travel + leave.away / 2) == 0
    assert shown(leave.back + leave.travel) > 0
