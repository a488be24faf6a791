"""A dataset worked through: in batches, by several processes, with what is finished kept."""

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
from segzero_train.errors import BadData
from segzero_train.evaluation.scoring import chunks

_BAD_ROW = (BadData, BadImage, BadQuestion)


class OtherRun(SegZeroError):
    """A folder holds the results of another evaluation."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that can't be asked about, and why; the reason names it."""

    index: int
    reason: str


Loaded = tuple[int, Any] | Skipped
"""A row's number with what it holds, or why it can't be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a dataset.

    size: how many there are. load: those with the given numbers, one by one, in ascending order.
    """

    size: int
    load: Callable[[Iterable[int]], Iterator[Loaded]]


Answer = Callable[[Sequence[tuple[int, Any]]], list[Any]]
"""Results of several rows; raises BadData, BadImage or BadQuestion if one of the rows is bad."""


def run(
    source: Source, answer: Answer, result: type, batch: int, folder: Path | None, state: Any
) -> tuple[list[Any], list[Skipped]]:
    """Work through what isn't finished; every process returns all results, in the rows' order.

    result: the class of a result, a dataclass of JSON's own types with the row's number as `index`.
    folder: keeps each result as soon as it is there. state: accelerate's PartialState.

    Rows that are skipped aren't kept: a later run tries them again. Raises BadData if all are.
    """
    finished = _read(folder, result) if folder else {}
    state.wait_for_everyone()  # nobody writes before everybody has read
    pending = [index for index in range(source.size) if index not in finished]
    mine = pending[state.process_index :: state.num_processes]
    outcomes: list[Any] = []
    with (
        _appending(folder, state.process_index) as keep,
        tqdm(total=len(mine), unit="question", disable=not state.is_main_process) as progress,
    ):
        for chunk in chunks(source.load(mine), batch):
            fresh = _outcomes(answer, chunk)
            keep([item for item in fresh if not isinstance(item, Skipped)])
            for item in fresh:
                if isinstance(item, Skipped):
                    progress.write(f"skipped: {item.reason}", file=sys.stderr)
            outcomes += fresh
            progress.update(len(chunk))
    outcomes = _gather(outcomes, state) + list(finished.values())
    outcomes.sort(key=lambda item: item.index)
    results = [item for item in outcomes if not isinstance(item, Skipped)]
    if not results:
        raise BadData(f"not one of the {source.size} rows can be asked about")
    return results, [item for item in outcomes if isinstance(item, Skipped)]


def claim(folder: Path, identity: dict[str, Any], state: Any) -> None:
    """Make `folder` the one of this evaluation; raises OtherRun if it is another's.

    identity: JSON that tells which evaluation it is. state: accelerate's PartialState.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.json"
    if file.exists():
        _compare(file, identity)
    state.wait_for_everyone()  # all compare with the same file
    if state.is_main_process:
        write_text(file, json.dumps(identity, indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file all at once or not at all."""
    partial = file.with_name(file.name + ".partial")
    with _naming(file):
        partial.write_text(text, encoding="utf-8")
        partial.rename(file)


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
    """Results; with a bad row every row is asked by itself, so that it alone is skipped."""
    skipped = [item for item in chunk if isinstance(item, Skipped)]
    items = [item for item in chunk if not isinstance(item, Skipped)]
    try:
        return skipped + (answer(items) if items else [])
    except _BAD_ROW as error:
        if len(items) == 1:
            return [*skipped, Skipped(items[0][0], f"number {items[0][0]}: {error}")]
    return skipped + [outcome for item in items for outcome in _outcomes(answer, [item])]


def _read(folder: Path, result: type) -> dict[int, Any]:
    """The finished results by row; a line that was cut off by the run's end is left out."""
    finished = {}
    for file in sorted(folder.glob("results-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = result(**json.loads(line))
            except (ValueError, TypeError):
                continue
            finished[found.index] = found
    return finished


@contextmanager
def _appending(folder: Path | None, process: int) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Appends results to this process's file, so that they are on the disk on return."""
    if folder is None:
        yield lambda results: None
        return
    path = folder / f"results-{process}.jsonl"
    if path.exists():
        # Without the line that an earlier run was cut off in.
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    with path.open("ab", buffering=0) as file:

        def keep(results: Sequence[Any]) -> None:
            data = "".join(json.dumps(asdict(item)) + "\n" for item in results).encode()
            with _naming(path):
                if file.write(data) < len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))

        yield keep


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Say which file can't be written: the system doesn't."""
    try:
        yield
    except OSError as error:
        raise OSError(f"can't write {file}: {error.strerror}") from error


def _gather(outcomes: list[Any], state: Any) -> list[Any]:
    if state.num_processes == 1:
        return outcomes
    from accelerate.utils import gather_object

    return gather_object(outcomes)
