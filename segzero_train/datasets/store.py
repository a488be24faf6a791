"""A prepared dataset on disk.

`data/<split>-<shard>.parquet` holds the rows, `report.json` how they were made, and `README.md`
lets `datasets.load_dataset` find the splits. A split is reserved with its options when work on it
begins. A shard lists what was skipped in its own metadata, so it is either whole or not there.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pyarrow import parquet

from segzero.files import write_text_whole, written_whole
from segzero_train.datasets.skipped import Skipped
from segzero_train.errors import BadData

REPORT = "report.json"
_GROUP = 20
"""Rows in memory at a time, and in a row group of a file."""
_SKIPPED = "segzero.skipped"


@dataclass(frozen=True, slots=True)
class Report:
    """How a split was made.

    Attributes:
        options: What it was made with.
        rows: How many it has.
        skipped: What was left out.
        finished: Whether no shard is missing.
    """

    options: Mapping[str, Any]
    rows: int = 0
    skipped: tuple[Skipped, ...] = ()
    finished: bool = False


def read_reports(folder: Path) -> dict[str, Report]:
    """Read the reports of a prepared folder.

    Args:
        folder: Any folder.

    Returns:
        Reports by split; empty if the folder isn't a prepared one.

    Raises:
        BadData: The file can't be read.
    """
    file = folder / REPORT
    try:
        return {
            split: Report(**entry | {"skipped": tuple(Skipped(**s) for s in entry["skipped"])})
            for split, entry in json.loads(file.read_bytes()).items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadData(f"{file} isn't a report of prepare: {error}") from error


@contextlib.contextmanager
def claimed(folder: Path, split: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder exclusively for a split that is new or was begun with the same options.

    Args:
        folder: Is made if it isn't there.
        split: Of the dataset.
        options: What the shards depend on.

    Yields:
        Nothing.

    Raises:
        BadData: Another run holds the folder, or the split was made with other options or by
            another program.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        begun = read_reports(folder).get(split)
        if begun is None and shards(folder, split):
            raise BadData(f"{folder / 'data'} holds a {split!r} that prepare didn't write")
        if begun is not None and begun.options != options:
            changed = sorted(
                key for key, value in options.items() if begun.options.get(key) != value
            )
            was = ", ".join(f"{key} was {begun.options.get(key)!r}" for key in changed)
            raise BadData(
                f"{folder} holds a {split!r} made otherwise ({was}): choose another --out, or "
                f"delete that folder"
            )
        for left_over in (folder / "data").glob(f".{split}-*.partial.parquet"):
            left_over.unlink()
        if begun is None:
            write_report(folder, split, Report(options))
        yield


def write_report(folder: Path, split: str, report: Report) -> None:
    """Add a split's report to `report.json`, and the finished splits to `README.md`."""
    reports = read_reports(folder) | {split: report}
    content = {key: asdict(value) for key, value in reports.items()}
    write_text_whole(folder / REPORT, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    files = [
        {"split": key, "path": f"data/{key}-*.parquet"}
        for key, value in reports.items()
        if value.finished
    ]
    if files:
        head = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": files}]})
        text = "Prepared by `segzero_train.prepare`; report.json tells how, and what was left out."
        write_text_whole(folder / "README.md", f"---\n{head}---\n\n{text}\n")


def shards(folder: Path, split: str) -> list[Path]:
    """The split's finished shards, in order."""
    return sorted((folder / "data").glob(f"{split}-*.parquet"))


def shard_file(folder: Path, split: str, number: int) -> Path:
    """The path of a shard."""
    return folder / "data" / f"{split}-{number:05d}.parquet"


def read_shard(file: Path) -> tuple[int, list[Skipped]] | None:
    """The number of rows in a shard and what was skipped; None if it is missing or damaged."""
    try:
        found = parquet.read_metadata(file)
        skipped = json.loads(found.metadata[_SKIPPED.encode()])
        return found.num_rows, [Skipped(**entry) for entry in skipped]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None


def write_shard(file: Path, rows: Iterable[dict[str, Any] | Skipped], schema: pa.Schema) -> None:
    """Write a shard row by row, whole or not at all.

    Args:
        file: The shard.
        rows: Rows, and what has none.
        schema: Of the rows.
    """
    skipped: list[dict[str, Any]] = []
    group: list[dict[str, Any]] = []
    with written_whole(file) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for row in rows:
            if isinstance(row, Skipped):
                skipped.append(asdict(row))
                continue
            group.append(row)
            if len(group) == _GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
        writer.add_key_value_metadata({_SKIPPED: json.dumps(skipped)})


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadData(f"another prepare is at work in {folder}: wait for it") from error
        yield
    finally:
        os.close(descriptor)
