"""Short clips of moving tabletops on disk: the training data of the demo's video memory."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.reasoning.squash import squash
from segzero_sim.motion import PERIOD, Leave, Motion, set_in_motion
from segzero_sim.scene import COLOURS, MAX_OBJECTS, SHAPES
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from segzero_train.demo.frames import OBJECTS, SIDE
from segzero_train.demo.shards import open_shards

LENGTH = 12
"""Frames in a clip."""
SHARD = 25
FIRST_SEED = 2_000_000
"""Seed of the first clip; lower seeds belong to `frames`, the datasets and tests."""
_CAMERAS = ((320, 240),) * 4 + ((640, 480),)
_COLOURS = tuple(COLOURS)
_ARRAYS = ("rgb", "looks", "ids")
_NEAR = 6
_RATE = 30
"""Camera frames in a second; a clip skips up to five between two of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Clips of LENGTH frames; each shard is memory mapped.

    Attributes:
        rgb: Shards of (SHARD, LENGTH, SIDE, SIDE, 3) uint8.
        ids: Shards of (SHARD, LENGTH, SIDE, SIDE) uint8; an object keeps its id within a clip.
        looks: Shards of (SHARD, MAX_OBJECTS, 2) int8, colour and shape of each object, -1 for none.
    """

    rgb: tuple[NDArray[np.uint8], ...]
    ids: tuple[NDArray[np.uint8], ...]
    looks: tuple[NDArray[np.int8], ...]

    def areas(self) -> NDArray[np.int64]:
        """Visible pixels of each object in each frame, (clips, LENGTH, MAX_OBJECTS) int64."""
        counts = [
            np.bincount(frame.ravel(), minlength=MAX_OBJECTS + 1)[1:]
            for shard in self.ids
            for frame in shard.reshape(-1, SIDE * SIDE)
        ]
        return np.array(counts).reshape(-1, LENGTH, MAX_OBJECTS)

    def rivals(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        """For each look, the clips with an object like it in colour or shape, but not in both.

        Returns:
            (colour, shape) to the numbers of the clips, (N,) int64.
        """
        looks = np.concatenate(self.looks).astype(int)
        found = {}
        for look in np.ndindex(len(COLOURS), len(SHAPES)):
            alike = (looks == look).sum(-1)
            found[look] = np.flatnonzero((alike == 1).any(-1) & (alike < 2).all(-1))
        return found

    def crowds(self) -> NDArray[np.bool_]:
        """Whether another object is near each object's box, (clips, LENGTH, MAX_OBJECTS) bool."""
        flags = [
            _is_crowded(frame) for shard in self.ids for frame in shard.reshape(-1, SIDE, SIDE)
        ]
        return np.array(flags).reshape(-1, LENGTH, MAX_OBJECTS)


def render_clips(folder: Path, count: int, processes: int) -> Clips:
    """Render the missing shards and open all of them.

    Args:
        folder: Where the shards are.
        count: Clips, rounded up to whole shards.
        processes: How many render at once.

    Returns:
        At least `count` clips.

    Raises:
        NoOpenGL: Nothing can be rendered here.
    """
    shards = -(-count // SHARD)
    rgb, looks, ids = open_shards(folder, _ARRAYS, _render_shard, shards, processes)
    return Clips(rgb=rgb, ids=ids, looks=looks)


def clip_times(motion: Motion, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the times of a clip's frames, if possible around an object's leaving and return.

    Args:
        motion: Of the scene.
        rng: Draws the times.

    Returns:
        (LENGTH,) float64, ascending, in seconds.
    """
    steps = (rng.integers(1, 6) + rng.integers(0, 2, LENGTH)) / _RATE
    times = np.cumsum(steps) - steps[0]
    leaves = [path.leave for path in motion.paths if path.leave is not None]
    if not leaves:
        return times + rng.uniform(0, PERIOD)
    (leave,) = leaves
    times += leave.start + rng.uniform(-0.3, 0.4) * leave.travel
    if rng.random() < 0.5:
        _skip_absence(times, leave, rng)
    return times


def _skip_absence(times: NDArray[np.float64], leave: Leave, rng: np.random.Generator) -> None:
    """Move the later half of the times to the object's return."""
    middle = LENGTH // 2
    again = leave.back + rng.uniform(0.0, 0.6) * leave.travel
    times[middle:] += max(0.0, again - times[middle])


def _is_crowded(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    crowded = np.zeros(MAX_OBJECTS, bool)
    for number in np.unique(ids[ids > 0]):
        rows, columns = np.nonzero(ids == number)
        top, left = max(0, rows.min() - _NEAR), max(0, columns.min() - _NEAR)
        around = ids[top : rows.max() + 1 + _NEAR, left : columns.max() + 1 + _NEAR]
        crowded[number - 1] = ((around > 0) & (around != number)).any()
    return crowded


def _render_shard(shard: int) -> tuple[NDArray, ...]:
    rgb = np.zeros((SHARD, LENGTH, SIDE, SIDE, 3), np.uint8)
    ids = np.zeros((SHARD, LENGTH, SIDE, SIDE), np.uint8)
    looks = np.full((SHARD, MAX_OBJECTS, 2), -1, np.int8)
    renderers = {size: TabletopRenderer(*size) for size in set(_CAMERAS)}
    for row in range(SHARD):
        seed = FIRST_SEED + shard * SHARD + row
        renderer = renderers[_CAMERAS[row % len(_CAMERAS)]]
        scene, _ = draw_usable(renderer, seed, OBJECTS, depth=False)
        looks[row, : len(scene.objects)] = [
            (_COLOURS.index(item.colour), SHAPES.index(item.shape)) for item in scene.objects
        ]
        motion = set_in_motion(scene)
        for k, seconds in enumerate(clip_times(motion, np.random.default_rng(seed))):
            frame = renderer.render(motion.at(float(seconds)), depth=False)
            rgb[row, k] = squash(frame.rgb, SIDE)
            ids[row, k] = cv2.resize(frame.ids, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    for renderer in renderers.values():
        renderer.close()
    return rgb, looks, ids
