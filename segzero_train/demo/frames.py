"""Rendered training scenes on disk."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.reasoning.squash import squash
from segzero_sim.questions import SeenObject, look
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from segzero_train.demo.shards import open_shards

SIDE = 256
"""Frames are squashed to SIDE x SIDE pixels, the input size of both models."""
SHARD = 500
FIRST_SEED = 1_000_000
"""Seed of the first training scene; lower seeds belong to the datasets and tests."""
_CAMERAS = ((320, 240), (320, 240), (640, 480))
OBJECTS = (1, 5)
_ARRAYS = ("rgb", "ids", "seeds")


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Scenes with their pictures; each shard is memory mapped.

    Attributes:
        rgb: Shards of (SHARD, SIDE, SIDE, 3) uint8.
        ids: Shards of (SHARD, SIDE, SIDE) uint8, instance ids.
        seeds: Shards of (SHARD,) int64, of the scenes.
    """

    rgb: tuple[NDArray[np.uint8], ...]
    ids: tuple[NDArray[np.uint8], ...]
    seeds: tuple[NDArray[np.int64], ...]
    _seen: dict[int, tuple[SeenObject, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rgb) * SHARD

    def seen(self, index: int) -> tuple[SeenObject, ...]:
        """The visible objects of frame `index`, computed once."""
        if index not in self._seen:
            shard, row = divmod(index, SHARD)
            scene = sample_scene(int(self.seeds[shard][row]), *OBJECTS)
            self._seen[index] = look(scene, self.ids[shard][row])
        return self._seen[index]

    def picture(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Frame `index`: (SIDE, SIDE, 3) uint8 RGB and (SIDE, SIDE) uint8 instance ids."""
        shard, row = divmod(index, SHARD)
        return self.rgb[shard][row], self.ids[shard][row]


def render_frames(folder: Path, count: int, processes: int) -> Frames:
    """Render the missing shards and open all of them.

    Args:
        folder: Where the shards are.
        count: Scenes, rounded up to whole shards.
        processes: How many render at once.

    Returns:
        At least `count` frames.

    Raises:
        NoOpenGL: Nothing can be rendered here.
    """
    shards = -(-count // SHARD)
    rgb, ids, seeds = open_shards(folder, _ARRAYS, _render_shard, shards, processes)
    return Frames(rgb=rgb, ids=ids, seeds=seeds)


def _render_shard(shard: int) -> tuple[NDArray, ...]:
    rgb = np.zeros((SHARD, SIDE, SIDE, 3), np.uint8)
    ids = np.zeros((SHARD, SIDE, SIDE), np.uint8)
    seeds = np.zeros(SHARD, np.int64)
    renderers = {size: TabletopRenderer(*size) for size in set(_CAMERAS)}
    for row in range(SHARD):
        seed = FIRST_SEED + shard * SHARD + row
        renderer = renderers[_CAMERAS[row % len(_CAMERAS)]]
        scene, frame = draw_usable(renderer, seed, OBJECTS, depth=False)
        rgb[row] = squash(frame.rgb, SIDE)
        ids[row] = cv2.resize(frame.ids, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        seeds[row] = scene.seed
    for renderer in renderers.values():
        renderer.close()
    return rgb, ids, seeds
