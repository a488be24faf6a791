"""Making the shards of a split, in several processes; the same shards whatever their number."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
from tqdm import tqdm

from segzero_train.datasets import store
from segzero_train.datasets.items import Skipped
from segzero_train.errors import BadData

SHARD = 100
"""Items in a shard: some 100 MB of pictures at 840 x 840."""

MakeRows = Callable[[Any], Iterable[dict[str, Any] | Skipped]]
"""Some of the work, a slice of it -> its rows, and what has none. Runs in other processes."""

_stop: Event | None = None


def write_split(
    folder: Path,
    split: str,
    work: Sequence[Any],
    make_rows: MakeRows,
    schema: pa.Schema,
    options: Mapping[str, Any],
    unlisted: Sequence[Skipped],
    workers: int,
) -> store.Report:
    """Write the shards that aren't there yet, and the report.

    unlisted: what was skipped before it could become work. An OSError, such as a full disk, or
    ctrl-C leaves the finished shards. Raises BadData as `store.claimed`, or if a process died.
    """
    options = dict(options) | {"shard": SHARD}
    with store.claimed(folder, split, options):
        jobs = {
            store.shard_file(folder, split, number): work[start : start + SHARD]
            for number, start in enumerate(range(0, len(work), SHARD))
        }
        missing = {file: part for file, part in jobs.items() if store.read_shard(file) is None}
        write = partial(_write, make_rows=make_rows, schema=schema)
        done = len(work) - sum(map(len, missing.values()))
        with tqdm(total=len(work), initial=done, desc=split, unit="item") as bar:
            for file in _each(write, missing, workers):
                bar.update(len(missing[file]))
        written = [found for file in jobs if (found := store.read_shard(file)) is not None]
        report = store.Report(
            options=options,
            rows=sum(rows for rows, _ in written),
            skipped=(*unlisted, *(entry for _, skipped in written for entry in skipped)),
            finished=True,
        )
        store.write_report(folder, split, report)
    return report


def _each(
    write: Callable[[Path, Sequence[Any]], None],
    missing: Mapping[Path, Sequence[Any]],
    workers: int,
) -> Iterator[Path]:
    """Write every missing shard; yields the files in the order in which they're finished."""
    if workers == 1 or len(missing) < 2:
        for file, part in missing.items():
            write(file, part)
            yield file
        return
    context = get_context("spawn")  # OpenGL and Arrow's threads don't survive a fork
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(stop,))
    try:
        # Ctrl-C reaches every process of the terminal; the others leave it to this one.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            jobs = {pool.submit(write, file, part): file for file, part in missing.items()}
        finally:
            signal.signal(signal.SIGINT, handler)
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]
    except BrokenProcessPool as error:
        raise BadData(
            "a process died, maybe for want of memory; the same command with fewer --workers "
            "goes on where this one stopped"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _start(stop: Event) -> None:
    global _stop
    _stop = stop
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write(file: Path, part: Sequence[Any], make_rows: MakeRows, schema: pa.Schema) -> None:
    store.write_shard(file, _until_stopped(make_rows(part)), schema)


def _until_stopped(
    rows: Iterable[dict[str, Any] | Skipped],
) -> Iterator[dict[str, Any] | Skipped]:
    for row in rows:
        if _stop is not None and _stop.is_set():
            raise InterruptedError("the main process stopped the work")
        yield row
