"""The benchmark of places in space: its baseline, and its figures for one scene."""

import numpy as np
import places

from segzero_ros.depth.calibration import Intrinsics


def test_the_baseline_is_the_pinhole() -> None:
    ids = np.zeros((4, 4), np.uint8)
    ids[1, 1:3] = 1
    view = places.View(ids, np.full((4, 4), 2.0, np.float32), Intrinsics(4.0, 4.0, 1.5, 1.5), {})
    centroid, extent = places.as_they_are(view)[1]
    np.testing.assert_allclose(centroid, [0, -0.25, 2])
    np.testing.assert_allclose(extent, [0.5, 0, 0])


def test_a_place_that_is_off_is_told_in_millimetres_at_a_metre() -> None:
    ground_truth = {
        1: (np.array([0.0, 0, 2]), np.array([0.2, 0.1, 0.1])),
        2: (np.ones(3), np.ones(3)),
    }
    found = {1: (np.array([0.0, 0.01, 2]), np.array([0.2, 0.1, 0.12]))}
    nothing = np.zeros((0, 0))
    view = places.View(
        nothing.astype(np.uint8),
        nothing.astype(np.float32),
        Intrinsics(1.0, 1.0, 0.0, 0.0),
        ground_truth,
    )
    figures = places.compare([view], lambda _: found)
    assert (figures["objects"], figures["missing"]) == (1, 1)
    assert figures["centroid off at most [mm at 1 m]"] == 5
    assert figures["extents within 10 %"] == 0.6667
    assert figures["extent off at most by"] == 0.2


def test_the_node_places_what_rays_hit() -> None:
    figures = places.compare(places.look(320, 240, 1), places.as_the_node)
    assert figures["objects"] >= 2
    assert figures["missing"] == 0
    assert figures["centroid off at most [mm at 1 m]"] < 10
