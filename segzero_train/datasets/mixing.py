"""Several datasets as one: each has its share of the rows, interleaved, the same for a seed.

Rows stay in their files until they are read. A mixture is a dataset like any other, so that a run
resumes on it as on one.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero_train.datasets.loading import load_rows
from segzero_train.errors import BadData, BadRecipe

if TYPE_CHECKING:
    from datasets import Dataset

_COLUMNS = (
    "id",
    "problem",
    "solution",
    "image",
    "mask",
    "category",
    "thinking",
    "target",
    "img_height",
    "img_width",
)
_EXAMPLE = "datasets: {data/grefcoco: 2, data/refcocog: 1}"


def read_weights(value: Any) -> dict[str, float]:
    """The key `datasets` of a recipe.

    Args:
        value: A mapping from names to weights, or the same as JSON from the command line; empty for
            none.

    Returns:
        Weights above 0 by the datasets' names.

    Raises:
        BadRecipe: It is something else; the message has an example.
    """
    if not value:
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping) or not all(map(_is_weight, value.values())):
        raise BadRecipe(
            f"datasets must give each set a weight above 0, as in `{_EXAMPLE}`; on a command line "
            f"as JSON"
        )
    return {str(name): float(weight) for name, weight in value.items()}


def load_training(options: Any, seed: int) -> "Dataset":
    """The rows that a recipe trains on: of its `dataset`, or its `datasets` mixed.

    Args:
        options: A `recipe.TaskOptions`.
        seed: Of the choice of rows.

    Returns:
        The rows, pictures undecoded.

    Raises:
        BadData: A set can't be loaded, or sets don't fit each other.
    """
    if weights := read_weights(options.datasets):
        return load_mixture(weights, options.dataset_split, options.dataset_size, seed)
    return load_rows(options.dataset, options.dataset_split, options.dataset_size)


def training_source(options: Any) -> str:
    """What the rows are called in records: the name, or names with weights."""
    weights = read_weights(options.datasets)
    return ", ".join(f"{k}={w:g}" for k, w in weights.items()) or str(options.dataset)


def load_mixture(
    weights: Mapping[str, float], split: str, size: int | None, seed: int
) -> "Dataset":
    """Load datasets and mix them.

    Args:
        weights: By the names or folders that `loading.load_rows` takes, as `read_weights` reads
            them.
        split: Of each.
        size: Rows of the mixture; None for as many as the sets have together.
        seed: Of the choice of rows.

    Returns:
        The mixture, pictures undecoded; see `mix`.

    Raises:
        BadData: A set can't be loaded, or the sets don't fit each other.
    """
    total = math.fsum(weights.values())
    # Only the tabletop is made for a number of rows, and holds as many as are wanted.
    asked = {"tabletop": size and max(1, math.ceil(size * weights.get("tabletop", 0) / total))}
    parts = {name: load_rows(name, split, asked.get(name)) for name in weights}
    return mix(parts, list(weights.values()), size, seed)


def mix(
    parts: Mapping[str, "Dataset"], weights: Sequence[float], size: int | None, seed: int
) -> "Dataset":
    """Mix datasets.

    Rows are taken without repeating one until all of its set have been taken. At every length the
    mixture has each set's share, to one row. Ids get the name of their set in front, so that they
    stay unique.

    Args:
        parts: The sets by name, pictures undecoded.
        weights: Of each.
        size: Rows of the mixture; None for as many as the sets have together.
        seed: Of the choice of rows.

    Returns:
        The columns to train with that all sets have.

    Raises:
        BadData: Sets hold one column in different forms.
    """
    from datasets import concatenate_datasets

    columns = [name for name in _COLUMNS if all(name in p.column_names for p in parts.values())]
    alike = [_prepared(name, rows, columns) for name, rows in parts.items()]
    for name, rows in zip(parts, alike, strict=True):
        for column in columns:
            if rows.features[column] != alike[0].features[column]:
                raise BadData(
                    f"{name} and {next(iter(parts))} hold the column {column} in different forms: "
                    f"prepare both with this project's command"
                )
    lengths = [len(rows) for rows in alike]
    chosen = mixed_rows(lengths, weights, size or sum(lengths), seed)
    return concatenate_datasets(alike).select(chosen)


def mixed_rows(
    lengths: Sequence[int], weights: Sequence[float], size: int, seed: int
) -> NDArray[np.int64]:
    """Which rows a mixture takes.

    Args:
        lengths: Rows of each set, at least 1.
        weights: Of each set, above 0.
        size: Rows of the mixture.
        seed: Of each set's order.

    Returns:
        (size,) rows of the sets laid end to end.
    """
    # The k-th row of a set stands at (k + 1/2) / weight: merged by place, shares hold everywhere.
    shares = np.array(weights) / math.fsum(weights)
    places = [(np.arange(math.ceil(size * share) + 1) + 0.5) / share for share in shares]
    owners = np.repeat(np.arange(len(places)), [len(place) for place in places])
    order = np.argsort(np.concatenate(places), kind="stable")[:size]
    owner = owners[order]  # (size,) which set
    starts = np.concatenate([[0], np.cumsum(lengths)])
    chosen = np.empty(size, np.int64)
    for number, length in enumerate(lengths):
        mine = owner == number
        generator = np.random.default_rng([seed, number])
        rounds = -(-int(mine.sum()) // length)
        rows = [generator.permutation(length) for _ in range(rounds)]
        chosen[mine] = starts[number] + np.concatenate([*rows, np.empty(0, int)])[: mine.sum()]
    return chosen


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _prepared(name: str, rows: "Dataset", columns: Sequence[str]) -> "Dataset":
    from datasets import Value

    rows = rows.select_columns(list(columns))
    for column in ("id", "category", "problem", "solution"):
        if column in columns and rows.features[column] != Value("string"):
            rows = rows.cast_column(column, Value("string"))
    if "id" in columns:
        ids = [f"{name}:{row}" for row in rows["id"]]
        rows = rows.remove_columns("id").add_column("id", ids)
    return rows.select_columns(list(columns))
