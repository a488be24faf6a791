"""Annotations in COCO's json format: what a file holds, and its segmentations as masks."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from segzero_train.datasets.file_names import find_file, name_parts
from segzero_train.datasets.items import GroundTruth
from segzero_train.datasets.skipped import Unusable
from segzero_train.errors import BadData

_MAX_COORDINATE = 1e5
"""Far outside of any picture; pycocotools takes memory for every pixel of an outline."""
_IDS = ("id", "image_id", "category_id")

Id = int | float | str


@dataclass(frozen=True, slots=True)
class Coco:
    """The tables of a file.

    Attributes:
        images: By id, without those of `repeated_images`.
        annotations: As they stand in the file, with the ids of `plain_id`.
        categories: Names by id, without those of several names, or of none.
        repeated_images: Ids that several different images have.
        base_names: How many images have each file name, without its folders.
    """

    images: dict[Id, dict[str, Any]]
    annotations: tuple[dict[str, Any], ...]
    categories: dict[Id, str]
    repeated_images: frozenset[Id]
    base_names: Counter[str]

    def image(self, image_id: Any) -> dict[str, Any]:
        """The image of an id; raises Unusable if there is none, or more than one."""
        if not is_id(image_id):
            raise Unusable("malformed annotation", f"{image_id!r} isn't an id of an image")
        if image_id in self.repeated_images:
            raise Unusable("malformed annotation", f"several images have the id {image_id}")
        if image_id not in self.images:
            raise Unusable("malformed annotation", f"no image {image_id} in the json")
        return self.images[image_id]

    def picture_file(self, image: dict[str, Any], folders: Sequence[Path]) -> Path:
        """Find an image's file.

        Leading folders of its `file_name` may be missing if no other image has the same name.

        Args:
            image: An entry of `images`.
            folders: Where to search.

        Returns:
            The file; where it should be if there is none.

        Raises:
            Unusable: There is no file name, or no file can have it.
        """
        if not isinstance(image.get("file_name"), str) or not image["file_name"].strip():
            raise Unusable("malformed annotation", "its image has no file name")
        parts = name_parts(image["file_name"])
        unique = bool(parts) and self.base_names[parts[-1]] == 1
        return find_file(image["file_name"], folders, any_folder=unique)


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a number or a text."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def plain_id(value: Any) -> Any:
    """An id as all tables have it: 7 for 7.0 and "7", which some programs write in one of them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isdecimal() and str(int(value[:20])) == value:
        return int(value)
    return value


def read_coco(file: Path) -> Coco:
    """Read a file in COCO's format.

    Args:
        file: With the tables `images`, `annotations` and perhaps `categories`.

    Returns:
        Its tables.

    Raises:
        BadData: The file isn't there, isn't JSON or lacks one of the tables.
    """
    try:
        content = json.loads(file.read_bytes())
        tables = {key: _table(content, key) for key in ("images", "annotations")}
        named = _table({"categories": (), **content}, "categories")
        images: dict[Id, dict[str, Any]] = {}
        repeated = set()
        for image in tables["images"]:
            number = plain_id(image["id"])
            if images.setdefault(number, image) != image:
                repeated.add(number)
        names = (image.get("file_name") for image in images.values())
        parts = (name_parts(name) for name in names if isinstance(name, str))
        return Coco(
            images=images,
            annotations=tuple(
                row | {key: plain_id(row[key]) for key in _IDS if key in row}
                for row in tables["annotations"]
            ),
            categories=_names(named),
            repeated_images=frozenset(repeated),
            base_names=Counter(part[-1] for part in parts if part),
        )
    except OSError as error:
        raise BadData(f"can't read {file}: {error.strerror}") from error
    except KeyError as error:
        raise BadData(f"{file} isn't in COCO's format: there is no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadData(f"{file} isn't readable as COCO's json: {error}") from error


def _table(content: Any, key: str) -> list[dict[str, Any]]:
    """A table's rows; raises KeyError or ValueError."""
    table = content[key]
    if table is None and key == "categories":
        return []
    if not isinstance(table, list | tuple) or not all(isinstance(row, dict) for row in table):
        raise ValueError(f"{key} isn't a list of objects")
    return [dict(row) for row in table]


def _names(categories: list[dict[str, Any]]) -> dict[Id, str]:
    found: dict[Id, set[Any]] = defaultdict(set)
    for entry in categories:
        found[plain_id(entry["id"])].add(entry["name"])
    return {
        number: str(next(iter(names)))
        for number, names in found.items()
        if len(names) == 1 and not names & {None, ""}
    }


def picture_size(image: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of an entry of `images`; raises Unusable."""
    try:
        return int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unusable("malformed annotation", "its image has no width and height") from error


def usable_parts(segmentation: Any) -> tuple[Any, str | None]:
    """Drop the polygons of a segmentation that have no area.

    Args:
        segmentation: As it stands in the file; a flat list of numbers, or one of (x, y), is one
            polygon.

    Returns:
        The segmentation without them, and what was dropped, such as "1 of 2 polygons". Without a
        usable part nothing is dropped, and `to_mask` raises Unusable.
    """
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation, None
    if all(isinstance(value, int | float) for value in segmentation) or _is_pairs(segmentation):
        segmentation = [segmentation]
    segmentation = [
        [value for pair in part for value in pair] if _is_pairs(part) else part
        for part in segmentation
    ]
    kept = [part for part in segmentation if not isinstance(part, list) or _is_polygon(part)]
    if not kept or len(kept) == len(segmentation):
        return segmentation, None
    return kept, f"{len(segmentation) - len(kept)} of {len(segmentation)} polygons"


def ground_truth(
    segmentations: Sequence[Any], crowds: Sequence[Any], height: int, width: int
) -> GroundTruth:
    """Make the masks of a question.

    Args:
        segmentations: Each is an object.
        crowds: Their pixels aren't counted.
        height: Of the picture.
        width: Of the picture.

    Returns:
        The true answer.

    Raises:
        Unusable: A segmentation is malformed.
    """
    masks = tuple(to_mask(item, height, width) for item in segmentations)
    if not crowds:
        return GroundTruth(masks)
    return GroundTruth(
        masks, np.logical_or.reduce([to_mask(item, height, width) for item in crowds])
    )


def to_mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Draw a segmentation.

    Args:
        segmentation: Polygons, an RLE or a list of RLEs, compressed or not.
        height: Of the picture.
        width: Of the picture.

    Returns:
        (height, width) bool, the union of all parts; empty without a part.

    Raises:
        Unusable: A part is malformed.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    mask = np.zeros((height, width), bool)
    polygons = [part for part in parts if isinstance(part, list)]
    if not all(map(_is_polygon, polygons)):
        raise Unusable("malformed annotation", "a polygon isn't three or more x, y in pixels")
    if polygons:
        encoded = coco_mask.frPyObjects(polygons, height, width)
        mask |= coco_mask.decode(coco_mask.merge(encoded)).astype(bool)
    for part in parts:
        if not isinstance(part, list):
            mask |= _run_lengths(part, height, width)
    return mask


def _is_polygon(polygon: list[Any]) -> bool:
    """False also for what pycocotools takes for something else, or takes too far."""
    usable = all(
        isinstance(v, int | float) and math.isfinite(v) and abs(v) <= _MAX_COORDINATE
        for v in polygon
    )
    return usable and len(polygon) >= 6 and len(polygon) % 2 == 0


def _is_pairs(polygon: Any) -> bool:
    """Whether a polygon is a list of [x, y]."""
    return isinstance(polygon, list) and all(
        isinstance(pair, list) and len(pair) == 2 and not isinstance(pair[0], list)
        for pair in polygon
    )


def _run_lengths(rle: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Decoded here: pycocotools crashes on some malformed strings and pads short ones with junk."""
    try:
        counts, size = rle["counts"], [int(side) for side in rle["size"]]
        if isinstance(counts, str | bytes):
            counts = _decompressed(counts.encode() if isinstance(counts, str) else counts)
        if any(count != int(count) for count in counts):
            raise ValueError("a part of a pixel")
        counts = [int(count) for count in counts]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise Unusable("malformed annotation", "an RLE lacks proper counts and size") from error
    if size != [height, width]:
        raise Unusable("size mismatch", f"an RLE of {size} for a picture of {[height, width]}")
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise Unusable("malformed annotation", "an RLE's counts don't add up to its size")
    runs = np.arange(len(counts)) % 2 == 1
    return np.repeat(runs, counts).reshape(width, height).T


def _decompressed(text: bytes) -> list[int]:
    """Decode COCO's string, as pycocotools' maskApi.c does.

    A character has 5 bits, low bits first; 32 marks that the number continues. From the fourth
    number on, each is the difference to the number before the last.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = text[position] - 48
            if not 0 <= bits < 64:
                raise ValueError("not a character of an RLE")
            position += 1
            value |= (bits & 31) << shift
            shift += 5
            more = bool(bits & 32)
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts
