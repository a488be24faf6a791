import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from segzero_sim.scene import SHAPES, Camera, Scene, SceneObject, sample_scene
from segzero_sim.tabletop import TabletopRenderer, draw_usable, is_usable

OVERHEAD = Camera(azimuth=0, elevation=np.pi / 2, distance=1.0, target=(0, 0), fovy=45)


def lone(shape: str, size: int = 7, x: float = 0.0, y: float = 0.0) -> Scene:
    """One red object seen from straight above."""
    item = SceneObject(shape, "red", size, x, y, yaw=0.3, tint=(0.8, 0.1, 0.1))
    return dataclasses.replace(
        sample_scene(0), objects=(item,), clutter=(), camera=OVERHEAD, table_rgb=(0.6, 0.6, 0.6)
    )


def test_a_scene_is_drawn_the_same_again_after_others(renderer: TabletopRenderer) -> None:
    first = renderer.render(sample_scene(3))
    for seed in range(4, 8):
        renderer.render(sample_scene(seed))
    again = renderer.render(sample_scene(3))
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.ids, again.ids)
    assert np.array_equal(first.depth, again.depth)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_has_its_colour_where_its_id_is(renderer: TabletopRenderer, shape: str) -> None:
    frame = renderer.render(lone(shape))
    inside = frame.rgb[frame.ids == 1].mean(0)
    assert inside[0] > 2 * inside[1]
    assert inside[0] > 2 * inside[2]
    outside = frame.rgb[frame.ids == 0].astype(int)
    assert (np.ptp(outside, axis=1) < 60).mean() > 0.99


def test_ids_count_objects_in_the_order_of_the_scene(renderer: TabletopRenderer) -> None:
    scene, frame = draw_usable(renderer, 11)
    assert set(np.unique(frame.ids)) == set(range(len(scene.objects) + 1))


def test_depth_is_metric(renderer: TabletopRenderer) -> None:
    scene = lone("box", x=0.1)
    frame = renderer.render(scene)
    table, top = 1.0, 1.0 - 2 * scene.objects[0].half
    assert frame.depth[5, 160] == pytest.approx(table, abs=0.01)
    assert np.median(frame.depth[frame.ids == 1]) == pytest.approx(top, abs=0.01)


def test_geometry_follows_the_focal_length(renderer: TabletopRenderer) -> None:
    scene = lone("ball", x=0.2, y=0.1)
    frame = renderer.render(scene)
    ball, focal = scene.objects[0], renderer.focal_length(scene)
    rows, columns = np.nonzero(frame.ids == 1)
    distance = 1.0 - ball.half
    assert columns.mean() == pytest.approx(159.5 + focal * ball.x / distance, abs=1.5)
    assert rows.mean() == pytest.approx(119.5 - focal * ball.y / distance, abs=1.5)
    assert np.ptp(columns) == pytest.approx(2 * focal * ball.half / distance, rel=0.08)


def test_depth_can_be_left_out(renderer: TabletopRenderer) -> None:
    assert not renderer.render(lone("mug"), depth=False).depth.any()


def test_a_cut_off_object_makes_a_scene_unusable(renderer: TabletopRenderer) -> None:
    inside, outside = lone("box"), lone("box", x=0.5)
    assert is_usable(inside, renderer.render(inside))
    assert not is_usable(outside, renderer.render(outside))


def test_a_hidden_object_makes_a_scene_unusable(renderer: TabletopRenderer) -> None:
    scene = lone("box")
    below = dataclasses.replace(scene.objects[0], shape="ball", size=0, colour="blue")
    scene = dataclasses.replace(scene, objects=(*scene.objects, below))
    assert not is_usable(scene, renderer.render(scene))


def test_without_opengl_the_error_says_what_to_install() -> None:
    code = (
        "from segzero_sim.tabletop import NoOpenGL, TabletopRenderer\n"
        "try:\n    TabletopRenderer()\n"
        "except NoOpenGL as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MUJOCO_GL": "nonsense"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "apt install" in result.stdout
