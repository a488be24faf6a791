"""Make the shards of a split in several processes; the shards don't depend on their number."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from segzero_train.datasets import store
from segzero_train.datasets.processes import each, stopped
from segzero_train.datasets.skipped import Skipped

SHARD = 100
"""Items in a shard: about 100 MB of pictures at 840 x 840."""

MakeRows = Callable[[Any], Iterable[dict[str, Any] | Skipped]]
"""From a slice of the work to its rows, and what has none. Runs in other processes."""


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
    """Write the missing shards of a split, and its report.

    An OSError, such as a full disk, or ctrl-C leaves the finished shards.

    Args:
        folder: Of the dataset.
        split: Of the dataset.
        work: What rows are made of.
        make_rows: Makes rows of a slice of `work`.
        schema: Of the rows.
        options: What the rows depend on.
        unlisted: What was skipped before it could become work.
        workers: How many processes.

    Returns:
        The report.

    Raises:
        BadData: As `store.claimed`, or a process died.
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
            for (_, part), _ in each(write, list(missing.items()), workers):
                bar.update(len(part))
        written = [found for file in jobs if (found := store.read_shard(file)) is not None]
        report = store.Report(
            options=options,
            rows=sum(rows for rows, _ in written),
            skipped=(*unlisted, *(entry for _, skipped in written for entry in skipped)),
            finished=True,
        )
        store.write_report(folder, split, report)
    return report


def _write(job: tuple[Path, Sequence[Any]], make_rows: MakeRows, schema: pa.Schema) -> None:
    file, part = job
    store.write_shard(file, _until_stopped(make_rows(part)), schema)


def _until_stopped(
    rows: Iterable[dict[str, Any] | Skipped],
) -> Iterator[dict[str, Any] | Skipped]:
    for row in rows:
        if stopped():
            raise InterruptedError("the main process stopped the work")
        yield row
