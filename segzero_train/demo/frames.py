"""Rendered training scenes on disk; an interrupted run loses at most one shard."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from segzero.files import written_whole
from segzero_sim.questions import SeenObject, look
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer, draw_usable

SIDE = 256
"""Frames are squashed to SIDE x SIDE pixels, the input size of both models."""
SHARD = 500
FIRST_SEED = 1_000_000
"""Seed of the first training scene; lower seeds belong to the datasets and tests."""
_CAMERAS = ((320, 240), (320, 240), (640, 480))
OBJECTS = (1, 5)


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
    folder.mkdir(parents=True, exist_ok=True)
    shards = list(range(-(-count // SHARD)))
    missing = [shard for shard in shards if not _files(folder, shard)[-1].exists()]
    render_shards(partial(_render_shard, folder), missing, processes)
    return open_frames(folder, shards)


def render_shards(render: Callable[[int], None], shards: Sequence[int], processes: int) -> None:
    """Call `render` for each shard, in several processes, with a progress bar."""
    parallel: Callable[..., Iterable[None]] = map
    with ExitStack() as stack:
        if processes > 1 and len(shards) > 1:
            # Spawned: OpenGL and torch don't survive a fork.
            pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
            parallel = stack.enter_context(pool).map
        jobs = parallel(render, shards)
        for _ in tqdm(jobs, total=len(shards), desc="render", unit="shard", disable=not shards):
            pass


def open_frames(folder: Path, shards: Sequence[int]) -> Frames:
    """Memory-map shards that exist."""
    arrays = [[np.load(path, mmap_mode="r") for path in _files(folder, s)] for s in shards]
    rgb, ids, seeds = zip(*arrays, strict=True)
    return Frames(rgb=rgb, ids=ids, seeds=seeds)


def _files(folder: Path, shard: int) -> list[Path]:
    """RGB, ids and seeds; seeds are written last: where they exist, the shard is whole."""
    return [folder / f"{name}-{shard:04d}.npy" for name in ("rgb", "ids", "seeds")]


def _render_shard(folder: Path, shard: int) -> None:
    rgb = np.zeros((SHARD, SIDE, SIDE, 3), np.uint8)
    ids = np.zeros((SHARD, SIDE, SIDE), np.uint8)
    seeds = np.zeros(SHARD, np.int64)
    renderers = {size: TabletopRenderer(*size) for size in set(_CAMERAS)}
    for row in range(SHARD):
        seed = FIRST_SEED + shard * SHARD + row
        renderer = renderers[_CAMERAS[row % len(_CAMERAS)]]
        scene, frame = draw_usable(renderer, seed, OBJECTS, depth=False)
        rgb[row] = cv2.resize(frame.rgb, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        ids[row] = cv2.resize(frame.ids, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        seeds[row] = scene.seed
    for renderer in renderers.values():
        renderer.close()
    save_arrays(_files(folder, shard), (rgb, ids, seeds))


def save_arrays(files: Sequence[Path], arrays: Sequence[NDArray]) -> None:
    """Save each array whole or not at all, in this order."""
    for path, array in zip(files, arrays, strict=True):
        with written_whole(path) as partial_file:
            np.save(partial_file, array)
