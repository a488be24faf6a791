"""Shapes of LabelMe's json format as masks."""

import base64
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_train.datasets.pictures import open_picture
from segzero_train.datasets.skipped import Unusable

_MAX_COORDINATE = 32_000
"""OpenCV's own limit when it fills polygons."""
_POINTS = {
    "polygon": "three or more",
    "rectangle": "two or four",
    "rotation": "four",  # a turned rectangle, in X-AnyLabeling and in LabelMe
    "oriented_rectangle": "four",
    "circle": "two",
    "mask": "two",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A labelled area.

    Attributes:
        label: In lower case.
        kind: `polygon`, `rectangle` (opposite corners, or all four), `rotation` and
            `oriented_rectangle` (all four corners), `circle` (centre and a point of the rim) or
            `mask` (top left and bottom right corner of a picture).
        points: (x, y) in pixels.
        picture: Of a mask, an image file's bytes.
    """

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    picture: bytes | None = None


def read_shape(entry: dict[str, Any]) -> Shape:
    """Read an entry of `shapes`.

    Args:
        entry: Has `label`, `points` and perhaps `shape_type` (by default a polygon) and `mask`.

    Returns:
        A shape that covers an area.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: The entry has another layout.
        Unusable: Its kind or its points make no area, or its label is no text.
    """
    if not isinstance(entry, dict):
        raise TypeError("it isn't an object")
    label = entry["label"]
    if not isinstance(label, str | int):
        raise Unusable("malformed annotation", f"its label must be text, not {label!r}")
    kind = str(entry.get("shape_type") or "polygon").lower()
    points = tuple((float(x), float(y)) for x, y in entry["points"])
    if kind not in _POINTS:
        raise Unusable("malformed annotation", f"a shape of the type {kind} has no area")
    count = len(points)
    wanted = {"polygon": count >= 3, "rectangle": count in (2, 4)}
    fits = wanted.get(kind, count == (4 if _POINTS[kind] == "four" else 2))
    if not fits:
        detail = f"a {kind} has {_POINTS[kind]} points, not {count}"
        raise Unusable("malformed annotation", detail)
    if kind != "mask" and len(set(points)) == 1:
        raise Unusable("malformed annotation", f"all points of a {kind} are one: it has no area")
    picture = None
    if kind == "mask":
        picture = base64.b64decode("".join(entry["mask"].split()), validate=True)
    return Shape(str(label).lower(), kind, points, picture)


def shape_mask(shape: Shape, height: int, width: int) -> NDArray[np.bool_]:
    """Draw a shape.

    Args:
        shape: What to draw.
        height: Of the picture.
        width: Of the picture.

    Returns:
        (height, width) bool; corners and rims belong to the shape.

    Raises:
        Unusable: Its points are far outside of any picture, or its picture can't be read.
    """
    points = np.array(shape.points, np.float64)
    if not (np.abs(points) <= _MAX_COORDINATE).all():
        raise Unusable("malformed annotation", "a shape's points aren't in the picture")
    if shape.kind == "circle":
        (x, y), rim = points
        rows, columns = np.ogrid[:height, :width]
        return (columns - x) ** 2 + (rows - y) ** 2 <= math.dist((x, y), rim) ** 2
    if shape.picture is not None:
        return _placed(shape.picture, points.astype(int), height, width)
    if shape.kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], (1,))
    return canvas.astype(bool)


def _placed(
    picture: bytes, corners: NDArray[np.int64], height: int, width: int
) -> NDArray[np.bool_]:
    """A mask's picture at its corners; what lies outside is cut off."""
    pixels = np.asarray(open_picture(picture, "mask").convert("L")) > 0
    (x1, y1), (x2, y2) = corners
    if pixels.shape != (y2 - y1 + 1, x2 - x1 + 1):
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise Unusable("size mismatch", f"a mask of {size} pixels from {x1},{y1} to {x2},{y2}")
    placed = np.zeros((height, width), bool)
    top, left = max(y1, 0), max(x1, 0)
    part = pixels[top - y1 : height - y1, left - x1 : width - x1]
    placed[top : top + part.shape[0], left : left + part.shape[1]] = part
    return placed
