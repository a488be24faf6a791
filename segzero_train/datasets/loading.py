"""Datasets by name: the tabletop, folders on this disk, the published sets on the Hub.

Pictures stay undecoded, as `{"bytes", "path"}`: when `columns.row_image` or `row_mask` decodes a
damaged one, it raises a BadData that names the row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segzero.hub_names import is_hub_name
from segzero_train.datasets import store
from segzero_train.errors import BadData
from segzero_train.missing import missing_dataset

if TYPE_CHECKING:
    from datasets import Dataset

_TRAINING = {"problem", "solution", "image"}
_SAME_SPLIT = {"val": "validation", "validation": "val"}


def load_rows(name_or_path: str, split: str, size: int | None = None) -> "Dataset":
    """Load rows to train on or to evaluate with.

    Args:
        name_or_path: `tabletop`; a folder that `prepare` or `save_to_disk` wrote, or with parquet
            or arrow files that `datasets.load_dataset` reads; or a dataset's name on the Hub, which
            is downloaded once.
        split: Of the dataset; `val` and `validation` are the same.
        size: Only the first rows; None for all. The tabletop needs a size.

    Returns:
        The rows, pictures undecoded.

    Raises:
        BadData: The dataset isn't there (a name that looks like a path is never looked up on the
            Hub) or isn't finished, can't be read, has no such split, has
            no rows or lacks columns.
    """
    if size is not None and size < 1:
        raise BadData(f"a dataset has 1 row or more, not {size}")
    rows = _tabletop(split, size) if name_or_path == "tabletop" else load_split(name_or_path, split)
    _check_columns(name_or_path, rows.column_names)
    return rows if size is None else rows.select(range(min(size, len(rows))))


def load_split(name_or_path: str, split: str) -> "Dataset":
    """Load a split with any columns; otherwise as `load_rows`, without the tabletop."""
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        splits = _from_folder(path, split)
    elif path.exists():
        raise BadData(f"{path} is a file: give the folder of the dataset")
    elif is_hub_name(name_or_path):
        splits = _from_hub(name_or_path)
    else:
        raise BadData(missing_dataset(name_or_path, split))
    name = _SAME_SPLIT.get(split, split) if split not in splits else split
    if name not in splits:
        raise BadData(
            f"{name_or_path} has no split {split!r}; it has {', '.join(map(str, splits))}"
        )
    return undecoded(splits[name])


def _tabletop(split: str, size: int | None) -> "Dataset":
    from segzero_train.datasets import tabletop  # here: only this one needs the simulator

    if size is None:
        raise BadData("the tabletop has as many rows as are wanted: say how many")
    try:
        return undecoded(tabletop.rows(split, size))
    except ValueError as error:
        raise BadData(f"tabletop: {error}") from error


def _from_folder(path: Path, split: str) -> "Mapping[str, Dataset]":
    from datasets import Dataset, load_dataset, load_from_disk

    reports = store.read_reports(path)
    if split in reports and not reports[split].finished:
        raise BadData(f"{path}: the split {split!r} isn't finished: run its prepare again")
    saved = (path / "dataset_dict.json").exists() or (path / "state.json").exists()
    try:
        if split in reports:
            files = [str(file) for file in store.shards(path, split)]
            return load_dataset("parquet", data_files={split: files})
        loaded = load_from_disk(str(path)) if saved else load_dataset(str(path))
    except Exception as error:  # datasets raises whatever its readers raise, for no rows too
        reason = " ".join(str(error.__cause__ or error).split())
        raise BadData(f"the dataset in {path} has no rows or can't be read: {reason}") from error
    # A dataset saved alone may not know the name of its split.
    return {str(loaded.split or split): loaded} if isinstance(loaded, Dataset) else loaded


def _from_hub(name: str) -> "Mapping[str, Dataset]":
    from datasets import load_dataset

    try:
        return load_dataset(name)
    except Exception as error:  # datasets raises whatever the network and the readers raise
        reason = " ".join(str(error.__cause__ or error).split())
        raise BadData(
            f"{name} is no folder here, and the Hub's dataset can't be loaded ({reason}): where "
            f"there is a network, `hf download --repo-type dataset {name} --local-dir DIR`, and "
            f"give DIR"
        ) from error


def undecoded(rows: "Dataset") -> "Dataset":
    """The rows with their pictures as `{"bytes", "path"}`."""
    from datasets import Image

    for name, feature in rows.features.items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image(decode=False))
    return rows


def _check_columns(name: str, columns: Sequence[str]) -> None:
    evaluation = {"image", "mask", "text" if "text" in columns else "problem"}
    lacking = [needed - set(columns) for needed in (_TRAINING, evaluation)]
    if all(lacking):
        training, evaluating = (", ".join(sorted(missing)) for missing in lacking)
        raise BadData(
            f"{name} has the columns {', '.join(columns)}: it lacks {training} to train on, "
            f"{evaluating} to evaluate with"
        )
