"""Run over a dataset in batches, in several processes, and keep each finished result."""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segzero.errors import BadImage, BadQuestion, SegZeroError
from segzero.files import write_text_whole
from segzero_train.datasets.columns import with_category
from segzero_train.errors import BadData
from segzero_train.evaluation.scoring import chunks

_BAD_ROW = (BadData, BadImage, BadQuestion)


class OtherRun(SegZeroError):
    """A folder holds the results of another evaluation."""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that can't be asked about.

    Attributes:
        index: Its number in the dataset.
        reason: Names the row and says what is wrong with it.
    """

    index: int
    reason: str


Loaded = tuple[int, Any] | SkippedRow
"""A row's number with its content, or why it can't be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a dataset.

    Attributes:
        size: How many there are.
        load: Yields the rows with the given numbers, in ascending order.
    """

    size: int
    load: Callable[[Iterable[int]], Iterator[Loaded]]


Answer = Callable[[Sequence[tuple[int, Any]]], list[Any]]
"""From several rows to their results; raises BadData, BadImage or BadQuestion for a bad row."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has brought.

    Attributes:
        results: By row number; with shards also those of the others, as far as they are.
        skipped: Rows that couldn't be asked about, by row number.
        missing: How many rows other shards have still to ask about.
    """

    results: list[Any]
    skipped: list[SkippedRow]
    missing: int


def run(
    source: Source,
    answer: Answer,
    result: type,
    batch: int,
    folder: Path | None,
    state: Any,
    shard: tuple[int, int] = (1, 1),
) -> Outcome:
    """Answer all rows of a shard that have no result yet.

    Skipped rows aren't kept: a later run tries them again.

    Args:
        source: The rows.
        answer: Computes the results of a batch.
        result: The class of a result: a dataclass of JSON's types with the row's number as `index`.
        batch: Rows in a batch.
        folder: Where each result is kept as soon as it is finished; None keeps nothing.
        state: Accelerate's PartialState.
        shard: Which part of the rows, counted from 1, of how many. All parts have one folder.

    Returns:
        The same in each process.

    Raises:
        BadData: Each row was skipped.
        OtherRun: Another process answers the same rows.
    """
    kept = finished(folder, result) if folder else {}
    state.wait_for_everyone()  # no process writes before all have read
    part, parts = shard
    # Neighbours stay together: a dataset lists the questions about a picture one after another.
    pending = [index for index in _part(range(source.size), part, parts) if index not in kept]
    mine = _part(pending, state.process_index + 1, state.num_processes)
    outcomes: list[Any] = []
    name = str(state.process_index) if parts == 1 else f"{part}of{parts}-{state.process_index}"
    with (
        _appending(folder / f"results-{name}.jsonl" if folder else None) as keep,
        tqdm(total=len(mine), unit="question", disable=not state.is_main_process) as progress,
    ):
        for chunk in chunks(source.load(mine), batch):
            fresh = _outcomes(answer, chunk)
            keep([item for item in fresh if not isinstance(item, SkippedRow)])
            for item in fresh:
                if isinstance(item, SkippedRow):
                    progress.write(f"skipped: {item.reason}", file=sys.stderr)
            outcomes += fresh
            progress.update(len(chunk))
    outcomes = _gather(outcomes, state)
    if folder and parts > 1:
        kept = finished(folder, result)  # others have gone on
    skipped = [item for item in outcomes if isinstance(item, SkippedRow)]
    found = kept | {item.index: item for item in outcomes if not isinstance(item, SkippedRow)}
    missing = source.size - len(found) - len(skipped)
    if not found and not missing:
        raise BadData(f"not one of the {source.size} rows can be asked about")
    skipped.sort(key=lambda item: item.index)
    return Outcome([found[index] for index in sorted(found)], skipped, missing)


def claim(folder: Path, identity: dict[str, Any], state: Any) -> None:
    """Reserve a folder for this evaluation.

    Args:
        folder: Is made if it isn't there.
        identity: What the results depend on, as JSON.
        state: Accelerate's PartialState.

    Raises:
        OtherRun: The folder belongs to an evaluation with another identity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.json"
    if file.exists():
        _compare(file, identity)
    state.wait_for_everyone()  # all compare with the same file
    if state.is_main_process:
        write_text(file, json.dumps(identity, indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all; an OSError names it."""
    with _naming(file):
        write_text_whole(file, text)


def _part(items: Sequence[int], part: int, parts: int) -> Sequence[int]:
    """A part of a sequence, counted from 1; the parts' lengths differ by at most 1."""
    start, end = (len(items) * number // parts for number in (part - 1, part))
    return items[start:end]


def _compare(file: Path, identity: dict[str, Any]) -> None:
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OtherRun(f"{file} is damaged ({error}): delete its folder") from error
    if other := [key for key in identity if there.get(key) != identity[key]]:
        raise OtherRun(
            f"{file.parent} holds an evaluation with other options ({', '.join(other)}): choose "
            f"another folder, or delete this one"
        )


def _outcomes(answer: Answer, chunk: Sequence[Loaded]) -> list[Any]:
    """Results of a batch; with a bad row, each row is asked alone, so that only that is skipped."""
    skipped = [item for item in chunk if isinstance(item, SkippedRow)]
    items = [item for item in chunk if not isinstance(item, SkippedRow)]
    try:
        return skipped + (answer(items) if items else [])
    except _BAD_ROW as error:
        if len(items) == 1:
            return [*skipped, SkippedRow(items[0][0], f"number {items[0][0]}: {error}")]
    return skipped + [outcome for item in items for outcome in _outcomes(answer, [item])]


def finished(folder: Path, result: type) -> dict[int, Any]:
    """The finished results in a folder by row number; an unfinished last line is left out."""
    kept = {}
    for file in sorted(folder.glob("results-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = result(**with_category(json.loads(line)))
            except (ValueError, TypeError, AttributeError):
                continue
            kept[found.index] = found
    return kept


@contextmanager
def _appending(path: Path | None) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Yield a function that appends results to this process's file, unbuffered."""
    if path is None:
        yield lambda results: None
        return
    with path.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OtherRun(
                f"another process writes {path}: wait for it, or share the questions by --shard"
            ) from error
        except OSError:
            pass  # a file system without locks
        # Without the line that an earlier run was cut off in.
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

        def keep(results: Sequence[Any]) -> None:
            data = "".join(json.dumps(asdict(item)) + "\n" for item in results).encode()
            with _naming(path):
                if file.write(data) < len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))

        yield keep


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name the file in an OSError: the system's own message doesn't."""
    try:
        yield
    except OSError as error:
        raise OSError(f"can't write {file}: {error.strerror}") from error


def _gather(outcomes: list[Any], state: Any) -> list[Any]:
    if state.num_processes == 1:
        return outcomes
    from accelerate.utils import gather_object

    return gather_object(outcomes)
