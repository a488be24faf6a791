"""ReasonSeg from its original files, as items.

A split is a folder of pictures, each with a json file of the same name: `text` (the questions),
`is_sentence`, and LabelMe's `shapes`.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segzero.metrics import IGNORE
from segzero_train.datasets.items import GroundTruth, Item
from segzero_train.datasets.labelme import Shape, read_shape, shape_mask
from segzero_train.datasets.skipped import Skipped, Unusable
from segzero_train.errors import BadData

_MAX_SHAPES = IGNORE - 1


def items(source: Path, split: str) -> tuple[list[Item], list[Skipped]]:
    """Read the items of a split.

    In `train` each text makes an item, elsewhere the first, as in the published evaluations. The
    category is that of the published tables: `long query` for sentences, else `short query`.

    Args:
        source: The folder that holds `train`, `val` and `test`, or one with `ReasonSeg` in it.
        split: Of the dataset.

    Returns:
        The items by file name, and what can't be one; a shape without an area is skipped alone.

    Raises:
        BadData: The split isn't there.
    """
    base = source / "ReasonSeg" if (source / "ReasonSeg").is_dir() else source
    files = sorted((base / split).glob("*.json"))
    if not files:
        raise BadData(f"there is no ReasonSeg split {split!r}: no json files in {base / split}")
    found: list[Item] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            found += _file_items(file, split == "train", skipped)
        except Unusable as error:
            skipped.append(Skipped(str(file), error.reason, error.detail))
    annotated = {file.stem for file in files}
    for picture in sorted((base / split).glob("*.jpg")):
        if picture.stem not in annotated:
            skipped.append(Skipped(str(picture), "missing annotation", "no json beside it"))
    return found, skipped


def _file_items(file: Path, every_text: bool, skipped: list[Skipped]) -> list[Item]:
    """The items of a file; shapes that can't be used are added to `skipped`."""
    content = _read(file)
    try:
        texts = _texts(content["text"])
        category = "long query" if _flag(content["is_sentence"]) else "short query"
        shapes, unusable = _shapes(file, content["shapes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unusable("malformed annotation", f"text, is_sentence or shapes: {error}") from error
    if unusable and not shapes:
        raise Unusable(unusable[0].reason, unusable[0].detail)
    skipped += unusable
    if not texts:
        raise Unusable("unusable text", "the list of texts is empty")
    chosen = dict(enumerate(texts)) if every_text else {0: texts[0]}
    return [
        Item(
            id=f"{file.stem}-{number}" if every_text else file.stem,
            problem=text,
            image=file.with_suffix(".jpg"),
            ground_truth=partial(_ground_truth, shapes),
            category=category,
        )
        for number, text in chosen.items()
    ]


def _texts(value: Any) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise ValueError("text must be a text or a list of texts")
    return listed


def _flag(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError(f"is_sentence must be true or false, not {value!r}")
    return bool(value)


def _shapes(file: Path, entries: Any) -> tuple[tuple[Shape, ...], list[Skipped]]:
    """The shapes that are drawn, and those that can't be."""
    shapes: list[Shape] = []
    unusable: list[Skipped] = []
    for number, entry in enumerate(entries, start=1):
        if str(entry["label"]).lower() == "flag":
            continue
        try:
            shapes.append(read_shape(entry))
        except Unusable as error:
            unusable.append(Skipped(f"{file} shape {number}", error.reason, error.detail))
    return tuple(shapes), unusable


def _read(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:  # some of the published files are in Windows' western code
            text = data.decode("cp1252")
        content = json.loads(text)
    except OSError as error:
        raise Unusable("unreadable json", str(error.strerror)) from error
    except ValueError as error:
        raise Unusable("unreadable json", str(error)) from error
    if not isinstance(content, dict):
        raise Unusable("unreadable json", "not an object")
    return content


def _ground_truth(shapes: tuple[Shape, ...], height: int, width: int) -> GroundTruth:
    """Each target shape is an object. The largest is drawn first; "ignore" isn't counted."""
    if len(shapes) > _MAX_SHAPES:
        raise Unusable("too many objects", f"{len(shapes)} shapes")
    ids = np.zeros((height, width), np.uint8)
    targets = 0
    # Drawn twice: all masks at once could take gigabytes.
    by_area = sorted(shapes, key=lambda s: int(shape_mask(s, height, width).sum()), reverse=True)
    for shape in by_area:
        ignored = "ignore" in shape.label
        targets += not ignored
        ids[shape_mask(shape, height, width)] = IGNORE if ignored else targets
    masks = tuple(ids == k for k in range(1, targets + 1))
    seen = tuple(mask for mask in masks if mask.any())
    if not seen:
        raise Unusable("empty mask", "no target shape covers a pixel")
    return GroundTruth(seen, ids == IGNORE)
