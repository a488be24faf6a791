"""Pictures with LabelMe's json files beside them, as items.

Each label of a picture is a question, and means all shapes with that label. Shapes of a label with
one `group_id` are one object.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segzero_train.datasets.file_names import find_file
from segzero_train.datasets.items import GroundTruth, Item
from segzero_train.datasets.labelme import Shape, read_shape, shape_mask
from segzero_train.datasets.skipped import Skipped, Unusable


def find_files(source: Path) -> list[Path]:
    """LabelMe's files in a folder or its `images/`, sorted; empty if there are none."""
    files = [*source.glob("*.json"), *(source / "images").glob("*.json")]
    return sorted(file for file in files if b'"shapes"' in file.read_bytes())


def items(files: Sequence[Path]) -> tuple[list[Item], list[Skipped]]:
    """Read the items of LabelMe's files.

    Args:
        files: As `find_files` returns them.

    Returns:
        The items in the order of the files, and what can't be one.
    """
    found: list[Item] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            found += _file_items(file, skipped)
        except Unusable as error:
            skipped.append(Skipped(file.name, error.reason, error.detail))
    return found, skipped


def _file_items(file: Path, skipped: list[Skipped]) -> list[Item]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        image = find_file(content["imagePath"], [file.parent], any_folder=True)
        size = (int(content["imageWidth"]), int(content["imageHeight"]))
        entries = list(content["shapes"])
    except OSError as error:
        raise Unusable("unreadable json", str(error.strerror)) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        detail = f"imagePath, imageWidth, imageHeight or shapes: {error}"
        raise Unusable("malformed annotation", detail) from error
    if content.get("imageData") and not image.is_file():
        detail = f"{image}, only within the json: write it there, with `labelme_export_json`"
        raise Unusable("missing image", detail)
    questions: dict[str, dict[Any, list[Shape]]] = defaultdict(lambda: defaultdict(list))
    for number, entry in enumerate(entries, start=1):
        try:
            shape = read_shape(entry)
        except Unusable as error:
            name = f"{file.name} shape {number}"
            skipped.append(Skipped(name, error.reason, error.detail))
            continue
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unusable("malformed annotation", f"shape {number}: {error}") from error
        group = entry.get("group_id")
        key = ("alone", number) if group in (None, "") else ("group", str(group))
        questions[str(entry["label"])][key].append(shape)
    return [
        Item(f"{file.stem}-{text}", text, image, partial(_ground_truth, tuple(shapes)), size)
        for text, groups in questions.items()
        for shapes in [[tuple(group) for group in groups.values()]]
    ]


def _ground_truth(objects: tuple[tuple[Shape, ...], ...], height: int, width: int) -> GroundTruth:
    masks = (
        np.logical_or.reduce([shape_mask(shape, height, width) for shape in shapes])
        for shapes in objects
    )
    return GroundTruth(tuple(masks))
