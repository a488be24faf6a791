"""Where the samples come from: the tabletop, or rows with masks."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from segzero_train.datasets import tabletop
from segzero_train.datasets.columns import row_to_sample
from segzero_train.errors import BadData
from segzero_train.evaluation.runner import Loaded, Skipped, Source

if TYPE_CHECKING:
    from datasets import Dataset


def tabletop_source(split: str, size: int) -> Source:
    """The first `size` questions of the tabletop, drawn as they are asked.

    Raises ValueError for a split or a size that there isn't, and NoOpenGL.
    """
    next(tabletop.samples(split, size))  # raises now rather than in the middle

    def load(numbers: Iterable[int]) -> Iterator[Loaded]:
        wanted = set(numbers)
        for number, sample in enumerate(tabletop.samples(split, max(wanted, default=0) + 1)):
            if number in wanted:
                yield number, sample

    return Source(size, load)


def rows_source(rows: "Dataset") -> Source:
    """All rows, as `loading.load_rows` gives them; raises BadData if they have no masks.

    A row that can't be read is skipped.
    """
    if "mask" not in rows.column_names:
        raise BadData(
            f"the dataset has no column mask to compare with, only {', '.join(rows.column_names)}: "
            "evaluate on a set with masks, such as one that prepare wrote"
        )
    return Source(len(rows), partial(read, rows, row_to_sample))


def read(
    rows: "Dataset", convert: Callable[[dict[str, Any]], Any], numbers: Iterable[int]
) -> Iterator[Loaded]:
    """Rows as what `convert` makes of them; one for which it raises BadData is skipped."""
    for number in numbers:
        try:
            yield number, convert(rows[number])
        except BadData as error:
            yield Skipped(number, f"number {number}: {error}")
