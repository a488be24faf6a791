import math
from itertools import combinations

import pytest

from segzero_sim.scene import MAX_OBJECTS, TABLE, sample_scene


def test_a_seed_is_a_scene() -> None:
    assert sample_scene(7) == sample_scene(7)


def test_different_seeds_are_different_scenes() -> None:
    assert len({sample_scene(seed) for seed in range(50)}) == 50


@pytest.mark.parametrize("seed", range(20))
def test_objects_stand_apart_and_on_the_table(seed: int) -> None:
    scene = sample_scene(seed)
    for item in scene.objects:
        assert abs(item.x) + item.half < TABLE[0]
        assert abs(item.y) + item.half < TABLE[1]
    for a, b in combinations(scene.objects, 2):
        assert math.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius


@pytest.mark.parametrize("counts", [(1, 1), (3, 3), (2, 5)])
def test_scenes_hold_as_many_objects_as_asked(counts: tuple[int, int]) -> None:
    found = {len(sample_scene(seed, *counts).objects) for seed in range(40)}
    assert found == set(range(counts[0], counts[1] + 1))


@pytest.mark.parametrize("counts", [(0, 2), (3, 2), (1, MAX_OBJECTS + 1)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="object counts"):
        sample_scene(0, *counts)
