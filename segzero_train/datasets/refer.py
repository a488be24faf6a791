"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO from their original files, as items.

A dataset's folder holds `refs(unc).p` (RefCOCOg: `refs(umd).p`, gRefCOCO: `grefs(unc).json`) and
`instances.json`; the pictures are COCO's train2014. A ref of gRefCOCO (arXiv 2306.00968) means
several objects, one or none.
"""

import io
import json
import pickle
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from segzero_train.datasets import coco
from segzero_train.datasets.items import Item
from segzero_train.datasets.negatives import Asked, make_negatives
from segzero_train.datasets.skipped import Skipped, Unusable
from segzero_train.errors import BadData

REFS = {
    "refcoco": "refs(unc).p",
    "refcoco+": "refs(unc).p",
    "refcocog": "refs(umd).p",
    "grefcoco": "grefs(unc).json",
}
_NO_TARGET = -1
"""What gRefCOCO gives for an annotation where there is none."""
Rows = Literal["ref", "sentence", "image"]
ROWS: tuple[Rows, ...] = get_args(Rows)
_IMAGES = ("images/mscoco/images/train2014", "images/train2014", "train2014", "images")


def items(
    name: str,
    source: Path,
    images: Path | None,
    split: str,
    rows: Rows,
    limit: int | None = None,
    negatives: float = 0,
) -> tuple[list[Item], list[Skipped]]:
    """Read the items of a split.

    Args:
        name: One of REFS.
        source: The dataset's folder, or one that holds it under its name.
        images: COCO's train2014; None searches beside and above the annotations.
        split: Of the refs.
        rows: `ref` makes an item for each object, with its first sentence, as in the authors'
            training set; `sentence` one for each sentence, as in the published evaluations;
            `image` one for each picture, "'a' and 'b'", as in the authors' multi-object set.
        limit: Only the first items; None for all.
        negatives: Questions about what isn't there, for each of these items; see
            `negatives.make_negatives`.

    Returns:
        The items in the order of the refs, then those about nothing; and what can't be one.

    Raises:
        BadData: A file is missing or can't be read, or the split has no refs.
    """
    if rows == "image" and name == "grefcoco":
        raise BadData("grefcoco's questions mean several objects already: leave --rows image out")
    folder = source / name if (source / name).is_dir() else source
    refs = _read_refs(folder / REFS[name])
    chosen = [ref for ref in refs if ref.get("split") == split]
    if not chosen:
        there = Counter(str(ref.get("split")) for ref in refs)
        listed = ", ".join(f"{key} ({count} refs)" for key, count in sorted(there.items()))
        raise BadData(f"{name} has no split {split!r}; it has {listed}")
    tables = coco.read_coco(folder / "instances.json")
    wanted = {number for ref in chosen for number in _numbers(ref) if coco.is_id(number)}
    annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in tables.annotations:
        if coco.is_id(entry.get("id")) and entry["id"] in wanted:
            annotations[entry["id"]].append(entry)
    pictures = images or _find_images(folder)
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, ref in enumerate(chosen):
        image_id = ref.get("image_id") if coco.is_id(ref.get("image_id")) else None
        grouped[image_id if rows == "image" else number].append(ref)
    asked: list[Asked] = []
    skipped: list[Skipped] = []
    for group in grouped.values():
        title = _title(name, group, rows)
        try:
            made = _group_items(title, group, tables, annotations, pictures, rows, skipped)
        except Unusable as error:
            skipped.append(Skipped(title, error.reason, error.detail))
            continue
        categories = _categories(group, annotations, tables)
        asked += [Asked(item, group[0].get("image_id"), categories) for item in made]
    asked = asked[:limit]
    count = round(negatives * len(asked))
    absent = make_negatives(asked, _present(tables), count) if count else []
    return [entry.item for entry in asked] + absent, skipped


def _present(tables: coco.Coco) -> dict[Any, frozenset[str]]:
    """Names of what is annotated on each picture, of the set's own questions or not."""
    names: dict[Any, set[str]] = defaultdict(set)
    for entry in tables.annotations:
        if coco.is_id(entry.get("image_id")) and coco.is_id(entry.get("category_id")):
            names[entry["image_id"]].add(tables.categories.get(entry["category_id"], ""))
    return {number: frozenset(found) for number, found in names.items()}


def _categories(
    refs: list[dict[str, Any]], annotations: dict[Any, list[dict[str, Any]]], tables: coco.Coco
) -> frozenset[str]:
    """Names of what a group of refs means; none if one is unknown."""
    entries = [entry for ref in refs for entry in _annotations(ref, annotations)]
    numbers = {entry.get("category_id") for entry in entries}
    if not all(coco.is_id(number) and number in tables.categories for number in numbers):
        return frozenset()
    return frozenset(tables.categories[number] for number in numbers if number is not None)


def _group_items(
    title: str,
    refs: list[dict[str, Any]],
    tables: coco.Coco,
    annotations: dict[Any, list[dict[str, Any]]],
    pictures: Path,
    rows: Rows,
    skipped: list[Skipped],
) -> list[Item]:
    image = tables.image(refs[0].get("image_id"))
    segmentations, dropped = [], []
    for entry in (entry for ref in refs for entry in _annotations(ref, annotations)):
        segmentation, parts = coco.usable_parts(entry.get("segmentation"))
        segmentations.append(segmentation)
        if parts:
            dropped.append(Skipped(f"annotation {entry['id']}", "malformed polygon", parts))
    if any(not segmentation for segmentation in segmentations):
        raise Unusable("empty mask", "an annotation has no segmentation")
    try:
        if rows == "sentence":
            texts = {f"{title}-{s['sent_id']}": s["sent"] for s in refs[0]["sentences"]}
        else:
            firsts = [_tidy(ref["sentences"][0]["raw"]) for ref in refs]
            joined = "'" + "' and '".join(firsts) + "'"
            texts = {title: joined if rows == "image" else firsts[0]}
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unusable("malformed annotation", "the ref has no sentences") from error
    file = tables.picture_file(image, [pictures])
    skipped += dropped
    ground_truth, size = partial(coco.ground_truth, segmentations, ()), coco.picture_size(image)
    return [Item(key, text, file, ground_truth, size) for key, text in texts.items()]


def _numbers(ref: dict[str, Any]) -> list[Any]:
    """Ids of the annotations that a ref means; none where it means nothing."""
    number = ref.get("ann_id")
    if not isinstance(number, list):
        return [] if ref.get("no_target") is True or number == _NO_TARGET else [number]
    if _NO_TARGET in number or ref.get("no_target") is True:
        return []
    return list(dict.fromkeys(number)) if all(map(coco.is_id, number)) else number


def _annotations(
    ref: dict[str, Any], annotations: dict[Any, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The annotations of a ref, on the picture of the ref; raises Unusable."""
    numbers = _numbers(ref)
    if not numbers and ref.get("ann_id") == []:
        raise Unusable("malformed annotation", "the ref names no annotation")
    return [_annotation(number, ref, annotations) for number in numbers]


def _annotation(
    number: Any, ref: dict[str, Any], annotations: dict[Any, list[dict[str, Any]]]
) -> dict[str, Any]:
    found = annotations[number] if coco.is_id(number) and number in annotations else []
    if len(found) != 1:
        count = "several annotations have the id" if found else "no annotation"
        raise Unusable("malformed annotation", f"{count} {number} in the json")
    if found[0].get("image_id") != ref.get("image_id"):
        detail = f"the annotation {number} belongs to image {found[0].get('image_id')}"
        raise Unusable("malformed annotation", f"{detail}, the ref to {ref.get('image_id')}")
    return found[0]


def _title(name: str, refs: list[dict[str, Any]], rows: Rows) -> str:
    if rows == "image":
        return f"{name}-image-{refs[0].get('image_id')}"
    return f"{name}-{refs[0].get('ref_id')}"


def _tidy(text: str) -> str:
    """Tidy a sentence as the authors' preparation does."""
    return text.strip().strip(".?!").lower()


def _find_images(folder: Path) -> Path:
    places = [base / place for base in (folder, folder.parent) for place in _IMAGES]
    for place in places:
        if place.is_dir():
            return place
    raise BadData(f"no pictures under {folder} or {folder.parent}: say where with --images DIR")


class _PlainUnpickler(pickle.Unpickler):
    """Containers, text and numbers only: the file comes from elsewhere and could name any code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which isn't plain data")


def _read_refs(file: Path) -> list[dict[str, Any]]:
    try:
        data = file.read_bytes()
        if file.suffix == ".json":
            content = json.loads(data)
        else:  # written by Python 2: its byte strings become text
            content = _PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except OSError as error:
        raise BadData(f"can't read {file}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise BadData(f"{file} isn't a readable list of refs: {error}") from error
    if not isinstance(content, list) or not all(isinstance(ref, dict) for ref in content):
        raise BadData(f"{file} isn't a list of refs")
    return [
        ref | {key: _plain(ref[key]) for key in ("image_id", "ann_id") if key in ref}
        for ref in content
    ]


def _plain(value: Any) -> Any:
    """An id, or a list of these, as `coco.plain_id` has it."""
    return list(map(coco.plain_id, value)) if isinstance(value, list) else coco.plain_id(value)
