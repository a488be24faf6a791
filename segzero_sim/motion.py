"""Scenes that move: objects slide and turn on the table, one may leave, the camera sways.

All motion repeats after PERIOD seconds, so a check of one period holds for all time.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segzero_sim.scene import TABLE, Camera, Scene, SceneObject, sample_scene

PERIOD = 24.0
"""Seconds after which the motion repeats."""
_GAP = 0.01
"""Least distance between the circles of two objects, in metres."""
_CHECKS = np.arange(0.0, PERIOD, 1 / 60)
_TRIES = 90


@dataclass(frozen=True, slots=True)
class Swing:
    """A sine offset that is 0 at 0 s.

    Attributes:
        amplitude: Of the sine, in the unit of the value.
        cycles: Per PERIOD.
        phase: In radians.
    """

    amplitude: float
    cycles: int
    phase: float

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The offset at each time.

        Args:
            seconds: (T,) float64.

        Returns:
            (T,) float64 in the unit of the value.
        """
        turn = 2 * math.pi * self.cycles / PERIOD
        return self.amplitude * (np.sin(turn * seconds + self.phase) - math.sin(self.phase))


@dataclass(frozen=True, slots=True)
class Leave:
    """A path out of the picture and back, once in every PERIOD.

    Attributes:
        way: Displacement (x, y) in metres.
        start: When the object leaves, in seconds.
        travel: Duration of the way out, and again of the way back, in seconds.
        away: How long the object stays outside, in seconds.
    """

    way: tuple[float, float]
    start: float
    travel: float
    away: float

    @property
    def back(self) -> float:
        """When the object starts its way back, in seconds."""
        return self.start + self.travel + self.away

    def share(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of the way that is covered at each time.

        Args:
            seconds: (T,) float64.

        Returns:
            (T,) float64 in [0, 1].
        """
        within = seconds % PERIOD
        out = _ease((within - self.start) / self.travel)
        return out - _ease((within - self.back) / self.travel)


@dataclass(frozen=True, slots=True)
class Path:
    """How one object moves.

    Attributes:
        x: Offset in metres.
        y: Offset in metres.
        yaw: Offset in radians.
        leave: A path out of the picture, if the object has one.
    """

    x: Swing
    y: Swing
    yaw: Swing
    leave: Leave | None = None

    def places(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The offsets from the position at 0 s.

        Args:
            seconds: (T,) float64.

        Returns:
            (T, 2) float64 in metres.
        """
        places = np.stack([self.x.at(seconds), self.y.at(seconds)], axis=1)
        if self.leave is not None:
            places += self.leave.share(seconds)[:, None] * np.array(self.leave.way)
        return places


@dataclass(frozen=True, slots=True)
class CameraPath:
    """How the camera sways: the fields of `Camera` that change.

    Attributes:
        azimuth: Offset in radians.
        elevation: Offset in radians.
        distance: Offset in metres.
        target: Offsets of x and y in metres.
    """

    azimuth: Swing
    elevation: Swing
    distance: Swing
    target: tuple[Swing, Swing]


@dataclass(frozen=True, slots=True)
class Motion:
    """A scene in motion.

    Attributes:
        start: The scene at 0 s.
        paths: One for each object of `start`, in its order.
        camera: The motion of the camera.
    """

    start: Scene
    paths: tuple[Path, ...]
    camera: CameraPath

    def at(self, seconds: float) -> Scene:
        """The scene at a time in seconds; its objects keep their order, so ids stay valid."""
        when = np.array([seconds])
        objects = tuple(
            _moved(item, path, when)
            for item, path in zip(self.start.objects, self.paths, strict=True)
        )
        return replace(self.start, objects=objects, camera=self._camera(when))

    def _camera(self, when: NDArray[np.float64]) -> Camera:
        still, sway = self.start.camera, self.camera
        x, y = (
            value + float(swing.at(when)[0])
            for value, swing in zip(still.target, sway.target, strict=True)
        )
        return replace(
            still,
            azimuth=still.azimuth + float(sway.azimuth.at(when)[0]),
            elevation=still.elevation + float(sway.elevation.at(when)[0]),
            distance=still.distance + float(sway.distance.at(when)[0]),
            target=(x, y),
        )


def sample_motion(seed: int, min_objects: int = 2, max_objects: int = 5) -> Motion:
    """The motion of a seed's scene.

    Args:
        seed: Determines scene and motion.
        min_objects: Fewest objects on the table.
        max_objects: Most objects on the table.

    Returns:
        The same motion on every machine.
    """
    return set_in_motion(sample_scene(seed, min_objects, max_objects))


def set_in_motion(scene: Scene) -> Motion:
    """The motion of a scene.

    Objects slide at up to 0.65 m/s without touching. In two of five scenes, one object leaves the
    picture at up to 1.5 m/s and returns. The camera orbits by some 10 degrees.

    Args:
        scene: The scene at 0 s.

    Returns:
        The motion; it depends on the scene's seed and its number of objects only.
    """
    rng = np.random.default_rng((scene.seed, len(scene.objects)))
    stay = Path(x=_still(), y=_still(), yaw=_still())
    paths = [stay] * len(scene.objects)
    if rng.random() < 0.4:
        index = int(rng.integers(len(scene.objects)))
        for _ in range(_TRIES):
            leaver = replace(stay, leave=_sample_leave(scene, index, rng))
            if _is_clear(scene.objects, paths, index, leaver):
                paths[index] = leaver
                break
    for index, path in enumerate(paths):
        if path.leave is not None or rng.random() < 0.2:
            continue
        for attempt in range(_TRIES):
            slide = _sample_slide(rng, reach=0.38 * 0.97**attempt)
            if _is_clear(scene.objects, paths, index, slide):
                paths[index] = slide
                break
    return Motion(start=scene, paths=tuple(paths), camera=_sample_sway(rng))


def _moved(item: SceneObject, path: Path, when: NDArray[np.float64]) -> SceneObject:
    x, y = path.places(when)[0]
    return replace(
        item, x=item.x + float(x), y=item.y + float(y), yaw=item.yaw + float(path.yaw.at(when)[0])
    )


def _is_clear(
    objects: tuple[SceneObject, ...], paths: list[Path], index: int, candidate: Path
) -> bool:
    """Whether `candidate` keeps object `index` on the table and clear of all others' paths."""
    item = objects[index]
    own = np.array([item.x, item.y]) + candidate.places(_CHECKS)
    if candidate.leave is None and (np.abs(own) > np.array(TABLE) - item.half).any():
        return False
    for other, path in zip(objects, paths, strict=True):
        if other is item:
            continue
        others = np.array([other.x, other.y]) + path.places(_CHECKS)
        apart = np.linalg.norm(others - own, axis=1)
        if apart.min() < item.radius + other.radius + _GAP:
            return False
    return True


def _sample_leave(scene: Scene, index: int, rng: np.random.Generator) -> Leave:
    """To the left, to the right or towards the camera, until it is out of the picture."""
    item, azimuth = scene.objects[index], scene.camera.azimuth
    if rng.random() < 0.3:
        right, near = rng.uniform(-0.3, 0.3), 1.0
    else:
        right, near = rng.choice([-1, 1]) * 1.25, rng.uniform(-0.1, 0.5)
    cos, sin = math.cos(azimuth), math.sin(azimuth)
    place = (right * cos - near * sin, -right * sin - near * cos)
    return Leave(
        way=(place[0] - item.x, place[1] - item.y),
        start=rng.uniform(0.5, 2.5),
        travel=rng.uniform(1.8, 2.6),
        away=rng.uniform(0.5, 6.0),
    )


def _sample_slide(rng: np.random.Generator, reach: float) -> Path:
    return Path(
        x=_sample_swing(rng, reach, cycles=(2, 6)),
        y=_sample_swing(rng, 0.8 * reach, cycles=(2, 6)),
        yaw=_sample_swing(rng, 1.2, cycles=(1, 4)),
    )


def _sample_sway(rng: np.random.Generator) -> CameraPath:
    return CameraPath(
        azimuth=_sample_swing(rng, math.radians(14), cycles=(1, 4)),
        elevation=_sample_swing(rng, math.radians(4), cycles=(1, 4)),
        distance=_sample_swing(rng, 0.05, cycles=(1, 4)),
        target=(_sample_swing(rng, 0.03, (1, 5)), _sample_swing(rng, 0.03, (1, 5))),
    )


def _sample_swing(rng: np.random.Generator, reach: float, cycles: tuple[int, int]) -> Swing:
    return Swing(
        amplitude=rng.uniform(0.3, 1.0) * reach,
        cycles=int(rng.integers(*cycles)),
        phase=rng.uniform(-math.pi, math.pi),
    )


def _still() -> Swing:
    return Swing(amplitude=0.0, cycles=0, phase=0.0)


def _ease(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The minimum-jerk curve (Flash and Hogan 1985): 0 to 1, at rest at both ends."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)
