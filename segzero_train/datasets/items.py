"""Questions about picture files, and the rows that are made of them, the same for each source."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadQuestion
from segzero.metrics import IGNORE
from segzero.pictures import upright
from segzero.reasoning.answers import MAX_OBJECTS
from segzero.reasoning.prompts import clean_question
from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets.masks import mask_png
from segzero_train.datasets.pictures import (
    is_turned,
    open_picture,
    png_bytes,
    read_file,
    rgb_pixels,
)
from segzero_train.datasets.skipped import Unusable
from segzero_train.datasets.solutions import SolutionStyle, format_solution
from segzero_train.datasets.targets import box_and_points

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """The true answer.

    Attributes:
        masks: (H, W) bool for each object; none means that nothing matches.
        ignored: (H, W) bool, pixels that don't count unless they belong to an object.
    """

    masks: tuple[NDArray[np.bool_], ...]
    ignored: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A question whose files aren't read yet; small, so that it can be sent to another process.

    Attributes:
        id: Unique within the split.
        problem: The question.
        image: The picture's file.
        ground_truth: From the picture's (height, width) to the true answer; raises Unusable.
        size: (width, height) that the annotations are made for, if they say so.
        category: The group that it is scored in.
    """

    id: str
    problem: str
    image: Path
    ground_truth: Callable[[int, int], GroundTruth]
    size: tuple[int, int] | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are stored.

    Attributes:
        side: Pictures become side x side pixels; None keeps their size.
        style: Of the solutions.
    """

    side: int | None
    style: SolutionStyle


def features() -> "Features":
    """The columns of `make_row`."""
    from datasets import Features, Image, Value

    texts = dict.fromkeys(("id", "problem", "solution", "category"), Value("string"))
    sizes = dict.fromkeys(("img_height", "img_width"), Value("int64"))
    return Features(texts | sizes | {"image": Image(), "mask": Image()})


def make_row(item: Item, stored: Format) -> dict[str, Any]:
    """Make an item's row.

    Boxes and points are computed at the picture's own size and scaled as in the authors' code,
    int(v * factor + 0.5). Pictures are resized by area, masks to the nearest pixel. The style
    `seg_zero` holds one object, the union of all.

    Args:
        item: What to read.
        stored: How to store it.

    Returns:
        The columns of `features`, pictures as bytes.

    Raises:
        Unusable: The item can't become a row.
    """
    try:
        problem = clean_question(item.problem)
    except BadQuestion as error:
        raise Unusable("unusable text", str(error)) from error
    data, pixels = _read_picture(item)
    height, width = pixels.shape[:2]
    ground_truth = item.ground_truth(height, width)
    masks = ground_truth.masks
    if any(not mask.any() for mask in masks):
        raise Unusable("empty mask", "an object covers no pixel of the picture")
    if len(masks) > MAX_OBJECTS:
        raise Unusable("too many objects", f"{len(masks)}, at most {MAX_OBJECTS} are allowed")
    if stored.style == "seg_zero":
        if not masks:
            raise Unusable("nothing to find", "the style seg_zero needs an object")
        masks = (np.logical_or.reduce(masks),)
    size = (stored.side or width, stored.side or height)
    objects = [_placed(mask, size) for mask in masks]
    ids = _ids(masks, ground_truth.ignored, (height, width))
    if stored.side is not None:
        data = png_bytes(
            np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        )
        ids = np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if set(range(1, len(masks) + 1)) - set(np.unique(ids).tolist()):
        raise Unusable("hidden object", "an object lies under others, or is too small to be stored")
    return {
        "id": item.id,
        "problem": problem,
        "solution": format_solution(objects, stored.style),
        "image": {"bytes": data, "path": None},
        "mask": {"bytes": mask_png(ids), "path": None},
        "category": item.category,
        "img_height": height,
        "img_width": width,
    }


def _read_picture(item: Item) -> tuple[bytes, NDArray[np.uint8]]:
    """The picture as a file and as (H, W, 3) uint8 RGB, upright as its EXIF data has it.

    A file whose pixels are RGB as they stand is kept byte for byte.
    """
    data = read_file(item.image)
    try:
        picture = open_picture(data)
        chosen = upright(picture)
        if item.size is not None and chosen.size != item.size:
            chosen = picture  # many annotation tools ignore the orientation
        pixels = rgb_pixels(chosen)
    except Unusable as error:
        raise Unusable(error.reason, f"{item.image}: {error.detail}") from error
    if item.size is not None and chosen.size != item.size:
        raise Unusable(
            "size mismatch",
            f"{item.image} has {picture.width}x{picture.height} pixels, "
            f"its annotation is for {item.size[0]}x{item.size[1]}",
        )
    if picture.format in ("JPEG", "PNG") and picture.mode == "RGB" and not is_turned(picture):
        return data, pixels
    return png_bytes(pixels), pixels


def _placed(mask: NDArray[np.bool_], size: tuple[int, int]) -> GroundedObject:
    """Box and points scaled to a picture of (width, height)."""
    (x1, y1, x2, y2), points = box_and_points(mask)
    height, width = mask.shape
    fx, fy = size[0] / width, size[1] / height

    def moved(x: int, y: int) -> tuple[float, float]:
        return float(int(x * fx + 0.5)), float(int(y * fy + 0.5))

    # The last pixel of a picture wider than 2 * side would be rounded to the one after the last.
    inside = [
        (min(x, size[0] - 1.0), min(y, size[1] - 1.0)) for x, y in (moved(*p) for p in points)
    ]
    return GroundedObject(
        Box(*moved(x1, y1), *moved(x2, y2)), tuple(Point(x, y) for x, y in inside)
    )


def _ids(
    masks: tuple[NDArray[np.bool_], ...],
    ignored: NDArray[np.bool_] | None,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """0 background, k object k, 255 not counted; where objects overlap, the smallest is on top."""
    ids = np.zeros(shape, np.uint8)
    if ignored is not None:
        ids[ignored] = IGNORE
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        ids[masks[k]] = k + 1
    return ids
