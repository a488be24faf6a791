"""ReasonSeg from its original files, as items.

A split is a folder of pictures, each with a json file of the same name: `text` (the questions),
`is_sentence`, and `shapes` with `label` and polygon `points`.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segzero.metrics import IGNORE
from segzero_train.datasets.items import GroundTruth, Item, Skipped, Unusable
from segzero_train.errors import BadData

_MAX_SHAPES = IGNORE - 1
_MAX_COORDINATE = 32_000
"""OpenCV's own limit when it fills polygons."""


def items(source: Path, split: str) -> tuple[list[Item], list[Skipped]]:
    """The items of a split by file name, and what can't be one.

    source: the folder that holds `train`, `val` and `test`, or one with `ReasonSeg` in it. In
    `train` each text makes an item, elsewhere the first, as in the published evaluations. The
    category is that of the published tables: `long query` for sentences, else `short query`.

    Raises BadData if the split isn't there.
    """
    base = source / "ReasonSeg" if (source / "ReasonSeg").is_dir() else source
    files = sorted((base / split).glob("*.json"))
    if not files:
        raise BadData(f"there is no ReasonSeg split {split!r}: no json files in {base / split}")
    found: list[Item] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            found += _file_items(file, every_text=split == "train")
        except Unusable as error:
            skipped.append(Skipped(str(file), error.reason, error.detail))
    annotated = {file.stem for file in files}
    for picture in sorted((base / split).glob("*.jpg")):
        if picture.stem not in annotated:
            skipped.append(Skipped(str(picture), "missing annotation", "no json beside it"))
    return found, skipped


def _file_items(file: Path, every_text: bool) -> list[Item]:
    content = _read(file)
    try:
        texts = [str(text) for text in content["text"]]
        category = "long query" if content["is_sentence"] else "short query"
        shapes = tuple(
            (str(shape["label"]).lower(), tuple((float(x), float(y)) for x, y in shape["points"]))
            for shape in content["shapes"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable("malformed annotation", f"text, is_sentence or shapes: {error}") from error
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


def _ground_truth(
    shapes: tuple[tuple[str, tuple[tuple[float, float], ...]], ...], height: int, width: int
) -> GroundTruth:
    """Each target polygon is an object. The largest is drawn first; "ignore" isn't counted."""
    polygons = [
        (label, np.array(points, np.float64)) for label, points in shapes if label != "flag"
    ]
    if len(polygons) > _MAX_SHAPES:
        raise Unusable("too many objects", f"{len(polygons)} shapes")
    for _, points in polygons:
        if not points.size or not (np.abs(points) <= _MAX_COORDINATE).all():
            raise Unusable("malformed annotation", "a shape's points aren't in the picture")

    def draw(canvas: np.ndarray, points: np.ndarray, value: int) -> None:
        cv2.fillPoly(canvas, [points.astype(np.int32)], value)

    def area(entry: tuple[str, np.ndarray]) -> int:
        canvas = np.zeros((height, width), np.uint8)
        draw(canvas, entry[1], 1)
        return int(canvas.sum())

    ids = np.zeros((height, width), np.uint8)
    targets = 0
    for label, points in sorted(polygons, key=area, reverse=True):
        ignored = "ignore" in label
        targets += not ignored
        draw(ids, points, IGNORE if ignored else targets)
    masks = tuple(ids == k for k in range(1, targets + 1))
    seen = tuple(mask for mask in masks if mask.any())
    if not seen:
        raise Unusable("empty mask", "no target shape covers a pixel")
    return GroundTruth(seen, ids == IGNORE)
