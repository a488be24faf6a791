"""Arrays on disk in shards; an interrupted run loses at most one shard."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from segzero.files import written_whole
from segzero_train.datasets.processes import each


def shard_files(folder: Path, names: Sequence[str], number: int) -> list[Path]:
    """The files of a shard, one for each array; where the last exists, the shard is whole."""
    return [folder / f"{name}-{number:04d}.npy" for name in names]


def open_shards(
    folder: Path,
    names: Sequence[str],
    make: Callable[[int], Sequence[NDArray]],
    count: int,
    processes: int,
) -> list[tuple[NDArray, ...]]:
    """Make the missing shards, in several processes, and memory-map all of them.

    Args:
        folder: Where the shards are.
        names: Of a shard's arrays.
        make: Computes the arrays of a shard by its number.
        count: How many shards.
        processes: How many make shards at once.

    Returns:
        For each name the arrays of all shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [shard_files(folder, names, number) for number in range(count)]
    missing = [number for number, shard in enumerate(files) if not shard[-1].exists()]
    jobs = each(partial(_write, folder, names, make), missing, processes)
    for _ in tqdm(jobs, total=len(missing), desc="render", unit="shard", disable=not missing):
        pass
    shards = ([np.load(path, mmap_mode="r") for path in shard] for shard in files)
    return list(zip(*shards, strict=True))


def save_arrays(files: Sequence[Path], arrays: Sequence[NDArray]) -> None:
    """Save each array whole or not at all, in this order."""
    for path, array in zip(files, arrays, strict=True):
        with written_whole(path) as partial_file:
            np.save(partial_file, array)


def _write(
    folder: Path, names: Sequence[str], make: Callable[[int], Sequence[NDArray]], number: int
) -> None:
    save_arrays(shard_files(folder, names, number), make(number))
