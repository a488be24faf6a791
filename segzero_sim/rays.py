"""Depth and ids of the simulated table by ray casting, independent of the renderer."""

import numpy as np
from numpy.typing import NDArray

from segzero_sim.scene import Scene
from segzero_sim.tabletop import TabletopRenderer


def cast(
    renderer: TabletopRenderer, scene: Scene, width: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cast a ray through each pixel.

    The camera pose comes from `Camera`, not from the renderer.

    Args:
        renderer: Holds MuJoCo's geometry.
        scene: What stands on the table.
        width: Pixels in a row.
        height: Rows of the image.

    Returns:
        Hit points (H·W, 3) in metres in the optical frame, and object ids (H·W,).
    """
    renderer.render(scene, depth=False)  # poses MuJoCo's geometry
    position, axes = _pose(scene)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    f = 0.5 * height / np.tan(np.radians(scene.camera.fovy) / 2)
    ways = np.stack([(u - (width - 1) / 2) / f, (v - (height - 1) / 2) / f, np.ones_like(u)], -1)
    ways = ways.reshape(-1, 3) / np.linalg.norm(ways.reshape(-1, 3), axis=1, keepdims=True)
    distances, ids = np.empty(len(ways)), np.zeros(len(ways), int)
    model, data, geom = renderer._model, renderer._data, np.zeros(1, np.int32)
    mj_ray = renderer._mujoco.mj_ray
    for index, way in enumerate(ways @ axes.T):
        distances[index] = mj_ray(model, data, position, way, None, 1, -1, geom)
        name = model.geom(geom[0]).name if geom[0] >= 0 else ""
        ids[index] = int(name[6]) + 1 if name.startswith("object") else 0
    return ways * distances[:, None], ids


def _pose(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The camera's position (3,), and the axes of its optical frame as columns (3, 3)."""
    camera = scene.camera
    away = np.array(
        [
            -np.sin(camera.azimuth) * np.cos(camera.elevation),
            -np.cos(camera.azimuth) * np.cos(camera.elevation),
            np.sin(camera.elevation),
        ]
    )
    right = np.cross([0, 0, 1], away)
    right /= np.linalg.norm(right)
    position = np.array([*camera.target, 0]) + camera.distance * away
    return position, np.stack([right, np.cross(-away, right), -away], axis=1)
