"""A user's own pictures, masks and questions, as items.

There are three layouts:

- `questions.jsonl` or `questions.csv` (UTF-8; the csv with column names in its first line), one
  question a line: `image` and `mask` (files, relative to the folder; the mask by default the PNG of
  the picture's name in `masks/`), `text`, and if wanted `ids`, `id`, `category`. A mask holds 0 for
  background, k for object k, 255 for what isn't counted; `datasets.masks` lists the other kinds
  that are read. `ids` names the objects that the text means (`[1, 3]`, in a csv `1 3`),
  by default all; `[]`, in a csv `none`, says that nothing matches.
- `annotations.json` in COCO's format, pictures in the folder or its `images/`. A question is an
  annotation's `caption` or else its category's name, and means all annotations of the picture that
  have it; crowds aren't counted.
- LabelMe's json files, beside the pictures or in `images/`. Each label of a picture is a question,
  and means all shapes with that label; shapes with one `group_id` are one object.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segzero.metrics import IGNORE
from segzero_train.datasets import coco, labelme_folder
from segzero_train.datasets.columns import row_category
from segzero_train.datasets.file_names import find_file
from segzero_train.datasets.items import GroundTruth, Item
from segzero_train.datasets.masks import read_mask
from segzero_train.datasets.pictures import read_file
from segzero_train.datasets.skipped import Skipped, Unusable
from segzero_train.errors import BadData

_QUESTIONS = ("questions.jsonl", "questions.csv")
_COCO = "annotations.json"


def items(source: Path) -> tuple[list[Item], list[Skipped]]:
    """Read the items of a folder.

    Args:
        source: Holds exactly one of the files above, or LabelMe's.

    Returns:
        The items in the order of the file, and what can't be one.

    Raises:
        BadData: There is none of the files, or more than one, or it can't be read.
    """
    files = [source / name for name in (*_QUESTIONS, _COCO) if (source / name).is_file()]
    if not files and (annotated := labelme_folder.find_files(source)):
        return labelme_folder.items(annotated)
    if len(files) != 1:
        there = "more than one" if files else "none"
        raise BadData(
            f"{source} must hold one of {', '.join((*_QUESTIONS, _COCO))}, or LabelMe's json "
            f"files; there is {there}"
        )
    if files[0].name == _COCO:
        return _coco_items(files[0])
    return _question_items(files[0])


def _question_items(file: Path) -> tuple[list[Item], list[Skipped]]:
    found: list[Item] = []
    skipped: list[Skipped] = []
    ids: set[str] = set()
    for number, line in _lines(file):
        name = f"{file.name} line {number}"
        try:
            item = _question(file.parent, f"line-{number}", line)
            if item.id in ids:
                raise Unusable("malformed question", f"the id {item.id!r} comes twice")
            ids.add(item.id)
            found.append(item)
        except Unusable as error:
            skipped.append(Skipped(name, error.reason, error.detail))
    return found, skipped


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers with what the lines hold; text where a line isn't JSON."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix == ".csv":
                reader = csv.DictReader(lines)
                for row in reader:
                    yield reader.line_num, {key: value for key, value in row.items() if value}
                return
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    yield number, f"it isn't JSON: {error}"
    except OSError as error:
        raise BadData(f"can't read {file}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{file} isn't a readable UTF-8 file: {error}") from error


def _question(folder: Path, default_id: str, line: Any) -> Item:
    if not isinstance(line, dict):
        raise Unusable("unreadable json", line if isinstance(line, str) else "not an object")
    lacking = [key for key in ("image", "text") if not isinstance(line.get(key), str)]
    if lacking:
        raise Unusable("malformed question", f"it has no {' and no '.join(lacking)}")
    image = find_file(line["image"], [folder])
    mask = find_file(str(line.get("mask") or Path("masks") / f"{image.stem}.png"), [folder])
    category = row_category(line)
    return Item(
        id=str(line.get("id", default_id)),
        problem=line["text"],
        image=image,
        ground_truth=partial(_mask_ground_truth, mask, _chosen(line.get("ids"))),
        category=category,
    )


def _chosen(ids: Any) -> tuple[int, ...] | None:
    try:
        if ids is None:
            return None
        listed = ids.replace("none", "").split() if isinstance(ids, str) else ids
        chosen = tuple(int(k) for k in listed)
        if isinstance(listed, dict) or any(str(k) != str(int(k)) for k in listed):
            raise ValueError("a share or a truth")
    except (TypeError, ValueError, OverflowError) as error:
        raise Unusable("malformed question", f"ids must be whole numbers, not {ids!r}") from error
    if any(k in (0, IGNORE) for k in chosen):
        raise Unusable("malformed question", f"ids can't be 0 or {IGNORE}")
    return chosen


def _mask_ground_truth(
    file: Path, chosen: tuple[int, ...] | None, height: int, width: int
) -> GroundTruth:
    if chosen == () and not file.exists():
        return GroundTruth(())
    data = read_file(file, "mask")
    try:
        ids = read_mask(data, white_is_object=chosen != ())
    except Unusable as error:
        raise Unusable(error.reason, f"{file}: {error.detail}") from error
    if ids.shape != (height, width):
        raise Unusable(
            "size mismatch",
            f"{file} has {ids.shape[1]}x{ids.shape[0]} pixels, the picture {width}x{height}",
        )
    there = sorted(set(np.unique(ids).tolist()) - {0, IGNORE})
    if chosen is None and not there:
        raise Unusable("empty mask", f"{file} holds no object")
    if missing := set(chosen or ()) - set(there):
        raise Unusable("empty mask", f"{file} lacks the objects {sorted(missing)}")
    return GroundTruth(
        tuple(ids == k for k in (there if chosen is None else chosen)), ids == IGNORE
    )


def _coco_items(file: Path) -> tuple[list[Item], list[Skipped]]:
    tables = coco.read_coco(file)
    images = file.parent / "images"
    folders = [images, file.parent] if images.is_dir() else [file.parent]
    questions: dict[tuple[Any, str], list[Any]] = defaultdict(list)
    crowds: dict[tuple[Any, str], list[Any]] = defaultdict(list)
    skipped: list[Skipped] = []
    for number, entry in enumerate(_without_repetitions(tables.annotations)):
        name = f"annotation {entry.get('id', number)}"
        try:
            tables.image(entry.get("image_id"))
            text = _coco_text(entry, tables)
            kind = crowds if _is_crowd(entry) else questions
        except Unusable as error:
            skipped.append(Skipped(name, error.reason, error.detail))
            continue
        segmentation, dropped = coco.usable_parts(entry.get("segmentation") or [])
        if dropped:
            skipped.append(Skipped(name, "malformed polygon", dropped))
        kind[entry["image_id"], text].append(segmentation)
    for image_id, text in crowds.keys() - questions.keys():
        skipped.append(Skipped(f"{image_id}-{text}", "empty mask", "only crowds, no single object"))
    found: list[Item] = []
    for (image_id, text), segmentations in questions.items():
        name = f"{image_id}-{text}"
        image = tables.image(image_id)
        try:
            if not all(segmentations):
                raise Unusable("empty mask", "an annotation has no segmentation")
            ground_truth = partial(coco.ground_truth, segmentations, crowds[image_id, text])
            size = coco.picture_size(image)
            picture = tables.picture_file(image, folders)
            found.append(Item(name, text, picture, ground_truth, size))
        except Unusable as error:
            skipped.append(Skipped(name, error.reason, error.detail))
    return found, skipped


def _without_repetitions(annotations: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Annotations; one that is listed again just as it is is one."""
    seen: dict[Any, dict[str, Any]] = {}
    for entry in annotations:
        number = entry.get("id")
        if number is None or not coco.is_id(number) or seen.get(number) != entry:
            yield entry
            if coco.is_id(number):
                seen.setdefault(number, entry)


def _is_crowd(entry: dict[str, Any]) -> bool:
    value = entry.get("iscrowd") or 0
    if value not in (0, 1, "0", "1"):
        raise Unusable("malformed annotation", f"iscrowd must be 0 or 1, not {value!r}")
    return int(value) == 1


def _coco_text(entry: dict[str, Any], tables: coco.Coco) -> str:
    """The question of an annotation; raises Unusable."""
    category: Any = entry.get("category_id")
    text = entry.get("caption") or (coco.is_id(category) and tables.categories.get(category))
    if not text:
        reason = f"no caption, and not one name of category {category} in the json"
        raise Unusable("unknown category", reason)
    if not isinstance(text, str):
        raise Unusable("malformed question", f"its caption must be text, not {text!r}")
    return text
