"""A prepared dataset on disk: `data/<split>-<shard>.parquet`, `report.json`, and the `README.md`
by which `datasets.load_dataset` finds the splits.

A split is claimed with its options when work on it begins. What was skipped in a shard stands in
the shard's own metadata, so that a shard is either whole or not there.
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

from segzero_train.datasets.items import Skipped
from segzero_train.errors import BadData

REPORT = "report.json"
_GROUP = 20
"""Rows that are in memory at a time, and that are read at once."""
_SKIPPED = "segzero.skipped"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a split. options: what it was made with; finished: no shard is missing."""

    options: Mapping[str, Any]
    rows: int = 0
    skipped: tuple[Skipped, ...] = ()
    finished: bool = False


def read_reports(folder: Path) -> dict[str, Report]:
    """The reports of a prepared folder by split; none if it isn't one. Raises BadData."""
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
    """Hold the folder for this split, new or begun with the same options, alone.

    Raises BadData if another run is at work in it, or its shards were made with other options or
    by something else.
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
        for left_over in (folder / "data").glob(f".{split}-*.partial"):
            left_over.unlink()
        if begun is None:
            write_report(folder, split, Report(options))
        yield


def write_report(folder: Path, split: str, report: Report) -> None:
    """Put the split's report among the others, and the finished splits into the README."""
    reports = read_reports(folder) | {split: report}
    content = {key: asdict(value) for key, value in reports.items()}
    _write_text(folder / REPORT, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    files = [
        {"split": key, "path": f"data/{key}-*.parquet"}
        for key, value in reports.items()
        if value.finished
    ]
    if files:
        head = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": files}]})
        text = "Prepared by `segzero_train.prepare`; report.json tells how, and what was left out."
        _write_text(folder / "README.md", f"---\n{head}---\n\n{text}\n")


def shards(folder: Path, split: str) -> list[Path]:
    """The split's finished shards in order."""
    return sorted((folder / "data").glob(f"{split}-*.parquet"))


def shard_file(folder: Path, split: str, number: int) -> Path:
    """Where a shard goes."""
    return folder / "data" / f"{split}-{number:05d}.parquet"


def read_shard(file: Path) -> tuple[int, list[Skipped]] | None:
    """How many rows a shard has and what it skipped; None if it isn't there whole."""
    try:
        found = parquet.read_metadata(file)
        skipped = json.loads(found.metadata[_SKIPPED.encode()])
        return found.num_rows, [Skipped(**entry) for entry in skipped]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None


def write_shard(file: Path, rows: Iterable[dict[str, Any] | Skipped], schema: pa.Schema) -> None:
    """Write rows as they come to a partial file, and rename it when it's whole."""
    partial = file.with_name(f".{file.name}.partial")
    skipped: list[dict[str, Any]] = []
    group: list[dict[str, Any]] = []
    try:
        with parquet.ParquetWriter(partial, schema) as writer:
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
        partial.rename(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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


def _write_text(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(file)
