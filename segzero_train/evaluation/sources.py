"""Sources of samples: the tabletop, or rows with masks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from segzero_train.datasets import tabletop
from segzero_train.datasets.columns import row_to_sample
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData
from segzero_train.evaluation.runner import Loaded, SkippedRow, Source

if TYPE_CHECKING:
    from datasets import Dataset

Ignored = Literal["excluded", "target"]
"""Pixels that are marked 255: not counted, or part of the answer as in the authors' evaluation."""
IGNORED: tuple[Ignored, ...] = get_args(Ignored)


def tabletop_source(split: str, size: int) -> Source:
    """The first questions of the tabletop, rendered when they are asked.

    Args:
        split: One of `tabletop.SPLITS`.
        size: 1 to `tabletop.MAX_SIZE`.

    Returns:
        The source.

    Raises:
        ValueError: There is no such split or size.
        NoOpenGL: Nothing can be rendered here.
    """
    next(tabletop.samples(split, size))  # raises now rather than in the middle

    def load(numbers: Iterable[int]) -> Iterator[Loaded]:
        wanted = set(numbers)
        for number, sample in enumerate(tabletop.samples(split, max(wanted, default=0) + 1)):
            if number in wanted:
                yield number, sample

    return Source(size, load)


def rows_source(rows: "Dataset", ignored: Ignored = "excluded") -> Source:
    """All rows of a dataset with masks; a row that can't be read is skipped.

    Args:
        rows: As `loading.load_rows` returns them.
        ignored: What pixels that are marked 255 are.

    Returns:
        The source.

    Raises:
        BadData: There is no column `mask`.
    """
    if "mask" not in rows.column_names:
        raise BadData(
            f"the dataset has no column mask to compare with, only {', '.join(rows.column_names)}: "
            "evaluate on a set with masks, such as one that prepare wrote"
        )

    def sample(row: dict[str, Any]) -> Sample:
        return replace(row_to_sample(row), ignored_is_target=ignored == "target")

    return Source(len(rows), partial(read, rows, sample))


def read(
    rows: "Dataset", convert: Callable[[dict[str, Any]], Any], numbers: Iterable[int]
) -> Iterator[Loaded]:
    """Convert rows one by one; a row for which `convert` raises BadData is skipped.

    Args:
        rows: A dataset.
        convert: From a row to what a runner's `Answer` takes.
        numbers: Which rows.

    Yields:
        A row's number with what it was converted to, or why it is skipped.
    """
    for number in numbers:
        try:
            yield number, convert(rows[number])
        except BadData as error:
            yield SkippedRow(number, f"number {number}: {error}")
