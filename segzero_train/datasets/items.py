"""A question about a picture file, and the row that is made of it; the same for every source."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from segzero.errors import BadQuestion
from segzero.metrics import IGNORE
from segzero.reasoning.answers import MAX_OBJECTS
from segzero.reasoning.prompts import clean_question
from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets.columns import format_solution
from segzero_train.datasets.targets import box_and_points

if TYPE_CHECKING:
    from datasets import Features


class Unusable(Exception):
    """This item becomes no row. reason: one of a few kinds; detail: what it was exactly."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry of the report: what was left out, and why."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """What is asked for; all arrays (H, W) bool.

    masks: one for each object; none means that nothing matches. ignored: pixels that don't count,
    unless they belong to an object.
    """

    masks: tuple[NDArray[np.bool_], ...]
    ignored: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A question that isn't read yet; small, so that it can travel to another process.

    ground_truth: (height, width) of the picture -> GroundTruth; raises Unusable.
    size: (width, height) that the annotations are made for, if they say so.
    """

    id: str
    problem: str
    image: Path
    ground_truth: Callable[[int, int], GroundTruth]
    size: tuple[int, int] | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are stored. side: pictures become side x side pixels, None keeps their size;
    style: of the solutions."""

    side: int | None
    style: str


def features() -> "Features":
    """The columns of `make_row`."""
    from datasets import Features, Image, Value

    texts = dict.fromkeys(("id", "problem", "solution", "category"), Value("string"))
    sizes = dict.fromkeys(("img_height", "img_width"), Value("int64"))
    return Features(texts | sizes | {"image": Image(), "mask": Image()})


def make_row(item: Item, stored: Format) -> dict[str, Any]:
    """The item's row, pictures as bytes; raises Unusable.

    Boxes and points are found at the picture's own size and scaled as in the authors' code,
    int(v * factor + 0.5). Pictures are resized by area, masks to the nearest pixel. In the style
    `seg_zero`, which holds one object, that is the union of all.
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
        data = _png(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))
        ids = np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if set(range(1, len(masks) + 1)) - set(np.unique(ids).tolist()):
        raise Unusable("hidden object", "an object lies under others, or is too small to be stored")
    return {
        "id": item.id,
        "problem": problem,
        "solution": format_solution(objects, stored.style),
        "image": {"bytes": data, "path": None},
        "mask": {"bytes": _png(ids), "path": None},
        "category": item.category,
        "img_height": height,
        "img_width": width,
    }


def _read_picture(item: Item) -> tuple[bytes, NDArray[np.uint8]]:
    """The picture as a file and as (H, W, 3) uint8 RGB, upright as its EXIF data has it.

    A file whose pixels are RGB as they stand is kept byte for byte.
    """
    try:
        data = item.image.read_bytes()
    except FileNotFoundError as error:
        raise Unusable("missing image", str(item.image)) from error
    except OSError as error:
        raise Unusable("unreadable image", f"{item.image}: {error.strerror}") from error
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        upright = ImageOps.exif_transpose(picture)
    except Exception as error:  # Pillow raises whatever its decoders raise
        raise Unusable("corrupt image", f"{item.image}: {error}") from error
    if picture.mode.startswith(("I", "F")):
        raise Unusable("unreadable image", f"{item.image}: not 8 bits a channel")
    if item.size is not None and upright.size != item.size:
        # Many annotation tools look at the pixels as they lie in the file.
        upright = picture
        if picture.size != item.size:
            raise Unusable(
                "size mismatch",
                f"{item.image} has {picture.width}x{picture.height} pixels, "
                f"its annotation is for {item.size[0]}x{item.size[1]}",
            )
    pixels = np.asarray(upright.convert("RGB"))
    turned = picture.getexif().get(0x0112, 1) != 1
    if picture.format in ("JPEG", "PNG") and picture.mode == "RGB" and not turned:
        return data, pixels
    return _png(pixels), pixels


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


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Pillow's own level 6 takes four times as long for a tenth less.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
