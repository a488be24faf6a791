"""Objects on the table, light and camera, sampled from a seed."""

import math
from dataclasses import dataclass

import numpy as np

SHAPES = ("ball", "box", "cylinder", "cone", "mug")
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.82, 0.10, 0.10),
    "green": (0.12, 0.58, 0.16),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.92, 0.82, 0.10),
    "purple": (0.52, 0.14, 0.62),
    "orange": (0.95, 0.48, 0.06),
}
SIZES = tuple(0.042 * 1.11**step for step in range(8))
"""Half extents that objects come in, in metres: each step is 11 % larger."""
MAX_OBJECTS = 6
MAX_CLUTTER = 3
TABLE = (0.55, 0.42)
"""Half extents of the table top in metres; its surface is z = 0, its centre the origin."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """An object on the table.

    Attributes:
        shape: One of SHAPES.
        colour: One of COLOURS.
        size: Index into SIZES.
        x: Position in metres.
        y: Position in metres.
        yaw: Rotation about the vertical in radians.
        tint: RGB in [0, 1], a variation of the named colour.
    """

    shape: str
    colour: str
    size: int
    x: float
    y: float
    yaw: float
    tint: tuple[float, float, float]

    @property
    def half(self) -> float:
        """Half the object's width in metres."""
        return SIZES[self.size]

    @property
    def radius(self) -> float:
        """Radius of the circle on the table that the object needs, in metres."""
        return self.half * {"box": 1.42, "mug": 1.6}.get(self.shape, 1.0)


@dataclass(frozen=True, slots=True)
class Clutter:
    """A grey coaster that no question asks about.

    Attributes:
        x: Centre in metres.
        y: Centre in metres.
        half: Half its width in metres.
        grey: Brightness in [0, 1].
    """

    x: float
    y: float
    half: float
    grey: float


@dataclass(frozen=True, slots=True)
class Camera:
    """An orbit camera.

    Attributes:
        azimuth: In radians.
        elevation: Above the table, in radians.
        distance: From the target, in metres.
        target: Point (x, y) on the table that the optical axis meets, in metres.
        fovy: Vertical field of view in degrees.
    """

    azimuth: float
    elevation: float
    distance: float
    target: tuple[float, float]
    fovy: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a frame shows.

    Attributes:
        seed: What the scene was sampled from.
        objects: What questions ask about.
        clutter: What they do not.
        camera: The viewpoint.
        light: Direction to the lamp.
        brightness: Scale of the lamp's light.
        table_rgb: In [0, 1].
        floor_rgb: In [0, 1].
    """

    seed: int
    objects: tuple[SceneObject, ...]
    clutter: tuple[Clutter, ...]
    camera: Camera
    light: tuple[float, float, float]
    brightness: float
    table_rgb: tuple[float, float, float]
    floor_rgb: tuple[float, float, float]


def sample_scene(seed: int, min_objects: int = 2, max_objects: int = 5) -> Scene:
    """The scene of a seed, the same on every machine.

    Args:
        seed: Any integer from 0 on.
        min_objects: Fewest objects, at least 1.
        max_objects: Most objects, at most MAX_OBJECTS.

    Returns:
        The scene; it may hold hidden or cut-off objects (see `tabletop.is_usable`).

    Raises:
        ValueError: The two counts are out of range.
    """
    if not 1 <= min_objects <= max_objects <= MAX_OBJECTS:
        raise ValueError(f"object counts must satisfy 1 <= min <= max <= {MAX_OBJECTS}")
    rng = np.random.default_rng((seed, min_objects, max_objects))
    objects: list[SceneObject] = []
    count = int(rng.integers(min_objects, max_objects + 1))
    look_alike = rng.random() < 0.25
    while len(objects) < count:
        candidate = _sample_object(rng, objects[0] if objects and look_alike else None)
        if _is_free(candidate, objects):
            objects.append(candidate)
    return Scene(
        seed=seed,
        objects=tuple(objects),
        clutter=tuple(_sample_clutter(rng, objects)),
        camera=Camera(
            azimuth=math.radians(rng.uniform(-25, 25)),
            elevation=math.radians(rng.uniform(38, 62)),
            distance=rng.uniform(0.92, 1.2),
            target=(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)),
            fovy=rng.uniform(42, 50),
        ),
        light=(rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.5), 1.5),
        brightness=rng.uniform(0.75, 1.15),
        table_rgb=_sample_wood(rng),
        floor_rgb=_triple(np.full(3, rng.uniform(0.1, 0.5)) + rng.uniform(-0.05, 0.05, 3)),
    )


def _sample_object(rng: np.random.Generator, like: SceneObject | None) -> SceneObject:
    """A random object; with `like`, often of its shape or colour, so that one stands out."""
    colour = str(rng.choice(list(COLOURS)))
    shape = str(rng.choice(SHAPES))
    if like is not None and rng.random() < 0.75:
        shape = like.shape
    elif like is not None and rng.random() < 0.5:
        colour = like.colour
    tint = np.clip(np.array(COLOURS[colour]) * rng.uniform(0.85, 1.1, 3), 0, 1)
    return SceneObject(
        shape=shape,
        colour=colour,
        size=int(rng.integers(len(SIZES))),
        x=rng.uniform(-0.36, 0.36),
        y=rng.uniform(-0.26, 0.26),
        yaw=rng.uniform(-math.pi, math.pi),
        tint=_triple(tint),
    )


def _is_free(candidate: SceneObject, objects: list[SceneObject]) -> bool:
    return all(
        math.hypot(candidate.x - other.x, candidate.y - other.y)
        > candidate.radius + other.radius + 0.03
        for other in objects
    )


def _sample_clutter(rng: np.random.Generator, objects: list[SceneObject]) -> list[Clutter]:
    clutter = []
    for _ in range(int(rng.integers(MAX_CLUTTER + 1))):
        item = Clutter(
            x=rng.uniform(-0.45, 0.45),
            y=rng.uniform(-0.33, 0.33),
            half=rng.uniform(0.02, 0.05),
            grey=rng.uniform(0.15, 0.85),
        )
        if all(math.hypot(item.x - o.x, item.y - o.y) > item.half + o.radius for o in objects):
            clutter.append(item)
    return clutter


def _sample_wood(rng: np.random.Generator) -> tuple[float, float, float]:
    warm = np.array([0.62, 0.50, 0.38]) * rng.uniform(0.6, 1.25)
    grey = np.full(3, rng.uniform(0.35, 0.75))
    return _triple(np.clip(warm + (grey - warm) * rng.random(), 0, 1))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
