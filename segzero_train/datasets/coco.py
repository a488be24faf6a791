"""Annotations in COCO's json format: what a file holds, and its segmentations as masks."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from segzero_train.datasets.items import GroundTruth, Unusable
from segzero_train.errors import BadData

_MAX_COORDINATE = 1e5
"""Far outside of any picture; pycocotools takes memory for every pixel of an outline."""


@dataclass(frozen=True, slots=True)
class Coco:
    """The tables of a file by `id`, and the annotations as they stand in it."""

    images: dict[int, dict[str, Any]]
    annotations: tuple[dict[str, Any], ...]
    categories: dict[int, str]


def read_coco(file: Path) -> Coco:
    """Raises BadData if the file isn't there, isn't JSON or lacks one of the tables."""
    try:
        content = json.loads(file.read_bytes())
        return Coco(
            images={image["id"]: dict(image) for image in content["images"]},
            annotations=tuple(map(dict, content["annotations"])),
            categories={entry["id"]: str(entry["name"]) for entry in content.get("categories", ())},
        )
    except OSError as error:
        raise BadData(f"can't read {file}: {error.strerror}") from error
    except KeyError as error:
        raise BadData(f"{file} isn't in COCO's format: there is no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadData(f"{file} isn't readable as COCO's json: {error}") from error


def picture_size(image: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of an entry of `images`; raises Unusable."""
    try:
        return int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable("malformed annotation", "its image has no width and height") from error


def ground_truth(
    segmentations: Sequence[Any], crowds: Sequence[Any], height: int, width: int
) -> GroundTruth:
    """Each segmentation is an object; crowds aren't counted. Raises Unusable."""
    masks = tuple(to_mask(item, height, width) for item in segmentations)
    if not crowds:
        return GroundTruth(masks)
    return GroundTruth(
        masks, np.logical_or.reduce([to_mask(item, height, width) for item in crowds])
    )


def to_mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool of polygons, an RLE or a list of RLEs, compressed or not.

    Several parts are united; none give an empty mask. Raises Unusable.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    mask = np.zeros((height, width), bool)
    polygons = [part for part in parts if isinstance(part, list)]
    for polygon in polygons:
        _check_polygon(polygon)
    if polygons:
        encoded = coco_mask.frPyObjects(polygons, height, width)
        mask |= coco_mask.decode(coco_mask.merge(encoded)).astype(bool)
    for part in parts:
        if not isinstance(part, list):
            mask |= _run_lengths(part, height, width)
    return mask


def _check_polygon(polygon: list[Any]) -> None:
    """What pycocotools takes for something else, or takes too far."""
    usable = all(
        isinstance(v, int | float) and math.isfinite(v) and abs(v) <= _MAX_COORDINATE
        for v in polygon
    )
    if not usable or len(polygon) < 6 or len(polygon) % 2:
        raise Unusable("malformed annotation", "a polygon isn't three or more x, y in pixels")


def _run_lengths(rle: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Decoded here: pycocotools crashes on some malformed strings and pads short ones with junk."""
    try:
        counts, size = rle["counts"], list(rle["size"])
        if isinstance(counts, str | bytes):
            counts = _decompressed(counts.encode() if isinstance(counts, str) else counts)
        counts = [int(count) for count in counts]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Unusable("malformed annotation", "an RLE lacks proper counts and size") from error
    if size != [height, width]:
        raise Unusable("size mismatch", f"an RLE of {size} for a picture of {[height, width]}")
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise Unusable("malformed annotation", "an RLE's counts don't add up to its size")
    runs = np.arange(len(counts)) % 2 == 1
    return np.repeat(runs, counts).reshape(width, height).T


def _decompressed(text: bytes) -> list[int]:
    """COCO's string: 5 bits a character, low bits first, 32 = goes on; from the fourth number on
    the difference to the number before the last. Source: pycocotools' maskApi.c."""
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
