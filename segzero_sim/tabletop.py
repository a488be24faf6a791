"""Render a scene with MuJoCo: colour, metric depth and instance ids.

One compiled model has a slot for each object that a scene may hold. A frame only changes poses,
sizes and colours, which needs no compilation. MuJoCo is used as a renderer, without physics.
"""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segzero_sim.scene import (
    MAX_CLUTTER,
    MAX_OBJECTS,
    SIZES,
    TABLE,
    Camera,
    Scene,
    SceneObject,
    sample_scene,
)

_HANDLE = 5
"""Number of capsules in a mug's handle."""
_MIN_VISIBLE = 0.0012
"""Least share of the image's pixels that an object of a usable scene covers."""

_NEXT_ATTEMPT = 10**9
"""Distance between the seeds that are tried for one scene, far above any set's size."""

_NO_LIBRARY = (ImportError, AttributeError, OSError, RuntimeError)
"""What MuJoCo raises without OpenGL; it depends on the library that is missing."""


class NoOpenGL(RuntimeError):
    """No OpenGL library for drawing without a screen."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A rendered image.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32, metres along the optical axis.
        ids: (H, W) uint8, 0 for background, k for the scene's k-th object.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    ids: NDArray[np.uint8]


class TabletopRenderer:
    """Renders scenes at one size; holds an OpenGL context until `close`.

    An instance belongs to the thread that made it.

    Args:
        width: Pixels in a row.
        height: Rows of the image.

    Raises:
        NoOpenGL: No context can be opened.
    """

    def __init__(self, width: int = 320, height: int = 240) -> None:
        mujoco = _import_mujoco()
        self._mujoco = mujoco
        self._model = mujoco.MjModel.from_xml_string(_model_xml(width, height))
        self._data = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._data)
        try:
            self._renderer = mujoco.Renderer(self._model, height, width)
        except (mujoco.FatalError, *_NO_LIBRARY) as error:
            raise _no_opengl(error) from error
        # MuJoCo's ids, looked up once by name.
        self._geom = {self._model.geom(i).name: i for i in range(self._model.ngeom)}
        self._cones = [self._model.mesh(f"cone{k}").id for k in range(len(SIZES))]
        self._slot_of_geom = np.zeros(self._model.ngeom + 1, np.uint8)
        for name, index in self._geom.items():
            if name.startswith("object"):
                self._slot_of_geom[index] = int(name.split("_")[0][6:]) + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def render(self, scene: Scene, depth: bool = True) -> Frame:
        """Render a scene.

        Args:
            scene: What to render.
            depth: Whether to render depth; without it `Frame.depth` is zero, and a pass is saved.

        Returns:
            The frame.
        """
        self._pose(scene)
        renderer = self._renderer
        renderer.update_scene(self._data, camera="eye")
        rgb = renderer.render()
        renderer.enable_segmentation_rendering()
        geoms = renderer.render()[..., 0]
        renderer.disable_segmentation_rendering()
        metres = np.zeros(rgb.shape[:2], np.float32)
        if depth:
            renderer.enable_depth_rendering()
            metres = renderer.render()
            renderer.disable_depth_rendering()
        return Frame(rgb=rgb, depth=metres, ids=self._slot_of_geom[geoms])

    def focal_length(self, scene: Scene) -> float:
        """The focal length in pixels along x and y; the principal point is the image's centre."""
        return 0.5 * self._renderer.height / math.tan(math.radians(scene.camera.fovy) / 2)

    def _pose(self, scene: Scene) -> None:
        model, data = self._model, self._data
        model.geom_rgba[:] = 0.0
        self._show("table", (0, 0, -0.02), rgb=scene.table_rgb)
        self._show("floor", (0, 0, -0.7), rgb=scene.floor_rgb)
        for slot, item in enumerate(scene.objects):
            self._place(f"object{slot}", item)
        for slot, coaster in enumerate(scene.clutter):
            model.geom_size[self._geom[f"clutter{slot}"], 0] = coaster.half
            self._show(f"clutter{slot}", (coaster.x, coaster.y, 0.002), rgb=(coaster.grey,) * 3)
        self._aim(scene.camera)
        light = np.array(scene.light)
        data.light_xpos[0] = light
        data.light_xdir[0] = -light / np.linalg.norm(light)
        model.light_diffuse[0] = 0.65 * scene.brightness

    def _place(self, name: str, item: SceneObject) -> None:
        model, half = self._model, item.half
        kinds = self._mujoco.mjtGeom
        main = self._geom[name]
        height, size, kind = {
            "ball": (half, (half, 0, 0), kinds.mjGEOM_SPHERE),
            "box": (half, (half, half, half), kinds.mjGEOM_BOX),
            "cylinder": (1.3 * half, (0.8 * half, 1.3 * half, 0), kinds.mjGEOM_CYLINDER),
            # MuJoCo centres a mesh on its centre of mass: a quarter of the cone's height.
            "cone": (0.6 * half, (half, half, half), kinds.mjGEOM_MESH),
            "mug": (1.05 * half, (0.85 * half, 1.05 * half, 0), kinds.mjGEOM_CYLINDER),
        }[item.shape]
        model.geom_type[main] = kind
        model.geom_size[main] = size
        model.geom_dataid[main] = self._cones[item.size] if item.shape == "cone" else -1
        self._show(name, (item.x, item.y, height), item.yaw, item.tint)
        if item.shape == "mug":
            self._add_mug_parts(name, item, height)

    def _add_mug_parts(self, name: str, item: SceneObject, height: float) -> None:
        """The dark opening and the handle, a half ring of capsules beside the body."""
        half = item.half
        opening = f"{name}_opening"
        self._model.geom_size[self._geom[opening]] = (0.7 * half, 0.01 * half, 0)
        dark = tuple(0.25 * channel for channel in item.tint)
        self._show(opening, (item.x, item.y, 2 * height), item.yaw, dark)
        angles = np.linspace(-math.pi / 2, math.pi / 2, _HANDLE + 1)
        ring = [(0.85 + 0.55 * math.cos(a), 0.6 * math.sin(a)) for a in angles]
        for k in range(_HANDLE):
            (out0, up0), (out1, up1) = ring[k], ring[k + 1]
            part = f"{name}_handle{k}"
            length = math.hypot(out1 - out0, up1 - up0) * half
            self._model.geom_size[self._geom[part]] = (0.14 * half, length / 2, 0)
            out = (out0 + out1) / 2 * half
            centre = (
                item.x + out * math.cos(item.yaw),
                item.y + out * math.sin(item.yaw),
                height + (up0 + up1) / 2 * half,
            )
            along = math.atan2(out1 - out0, up1 - up0)
            self._show(part, centre, item.yaw, item.tint, tilt=along)

    def _show(
        self,
        name: str,
        position: tuple[float, float, float],
        yaw: float = 0.0,
        rgb: tuple[float, ...] = (0, 0, 0),
        tilt: float = 0.0,
    ) -> None:
        """Place a geom: turned by `tilt` about y, then by `yaw` about z."""
        index = self._geom[name]
        cos, sin, c, s = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
        self._data.geom_xpos[index] = position
        self._data.geom_xmat[index] = (cos * c, -sin, cos * s, sin * c, cos, sin * s, -s, 0, c)
        self._model.geom_rgba[index] = (*rgb, 1.0)

    def _aim(self, camera: Camera) -> None:
        """Pose the camera: it looks down its own -z, with x to the right and y up."""
        ca, sa = math.cos(camera.azimuth), math.sin(camera.azimuth)
        ce, se = math.cos(camera.elevation), math.sin(camera.elevation)
        backward = np.array([-sa * ce, -ca * ce, se])
        right = np.array([ca, -sa, 0.0])
        up = np.cross(backward, right)
        target = np.array([*camera.target, 0.0])
        index = self._model.camera("eye").id
        self._data.cam_xpos[index] = target + camera.distance * backward
        self._data.cam_xmat[index] = np.stack([right, up, backward], axis=1).reshape(-1)
        self._model.cam_fovy[index] = camera.fovy


def draw_usable(
    renderer: TabletopRenderer, seed: int, objects: tuple[int, int] = (2, 5), depth: bool = True
) -> tuple[Scene, Frame]:
    """The first usable scene of a seed.

    Args:
        renderer: Renders the candidates.
        seed: Where the search starts.
        objects: Fewest and most objects.
        depth: As in `TabletopRenderer.render`.

    Returns:
        The scene and its frame.
    """
    while True:
        scene = sample_scene(seed, *objects)
        frame = renderer.render(scene, depth)
        if is_usable(scene, frame):
            return scene, frame
        seed += _NEXT_ATTEMPT


def is_usable(scene: Scene, frame: Frame) -> bool:
    """Whether each object covers enough pixels and none touches the image's border."""
    counts = np.bincount(frame.ids.ravel(), minlength=len(scene.objects) + 1)[1:]
    border = np.concatenate([frame.ids[0], frame.ids[-1], frame.ids[:, 0], frame.ids[:, -1]])
    return bool((counts >= _MIN_VISIBLE * frame.ids.size).all() and not border.any())


def _import_mujoco() -> Any:
    """MuJoCo with a renderer that needs no screen, unless MUJOCO_GL says which to take."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    # Triton, which torch loads at its own time, crashes if Mesa has brought its LLVM before.
    with suppress(ImportError):
        import triton  # noqa: F401
    try:
        import mujoco
        import mujoco.gl_context
    except _NO_LIBRARY as error:
        raise _no_opengl(error) from error
    return mujoco


def _no_opengl(error: Exception) -> NoOpenGL:
    return NoOpenGL(
        f"MuJoCo can't draw with MUJOCO_GL={os.environ['MUJOCO_GL']}: {error}. Install one of the "
        "libraries with 'sudo apt install libegl1 libgl1-mesa-dri' (MUJOCO_GL=egl) or "
        "'sudo apt install libosmesa6' (MUJOCO_GL=osmesa)"
    )


def _model_xml(width: int, height: int) -> str:
    slots = []
    for slot in range(MAX_OBJECTS):
        parts = [f"object{slot}", f"object{slot}_opening"]
        slots += [f'<geom name="{part}" type="cylinder" size=".05 .05"/>' for part in parts]
        slots += [
            f'<geom name="object{slot}_handle{k}" type="capsule" size=".01 .02"/>'
            for k in range(_HANDLE)
        ]
    slots += [
        f'<geom name="clutter{slot}" type="cylinder" size=".03 .002"/>'
        for slot in range(MAX_CLUTTER)
    ]
    meshes = [f'<mesh name="cone{k}" vertex="{_cone(size)}"/>' for k, size in enumerate(SIZES)]
    cones = [
        f'<geom type="mesh" mesh="cone{k}" pos="0 0 -9" rgba="0 0 0 0"/>' for k in range(len(SIZES))
    ]
    return f"""
<mujoco>
  <statistic extent="1" center="0 0 0"/>
  <visual>
    <global offwidth="{width}" offheight="{height}"/>
    <quality shadowsize="2048" offsamples="4"/>
    <headlight ambient=".32 .32 .32" diffuse=".25 .25 .25" specular="0 0 0"/>
    <map znear=".05" zfar="20" shadowclip="3"/>
  </visual>
  <asset>{"".join(meshes)}</asset>
  <worldbody>
    <light name="lamp" directional="true" castshadow="true" pos="0 0 2" specular=".2 .2 .2"/>
    <camera name="eye" pos="0 -1 1"/>
    <geom name="table" type="box" size="{TABLE[0]} {TABLE[1]} .02"/>
    <geom name="floor" type="box" size="4 4 .01"/>
    {"".join(slots)}
    {"".join(cones)}
  </worldbody>
</mujoco>"""


def _cone(half: float, sides: int = 24) -> str:
    """Vertices of a cone 2.4 half widths tall; MuJoCo takes their convex hull."""
    angles = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    ring = [(half * math.cos(a), half * math.sin(a), 0.0) for a in angles]
    return " ".join(f"{x:.5f} {y:.5f} {z:.5f}" for x, y, z in [*ring, (0.0, 0.0, 2.4 * half)])
