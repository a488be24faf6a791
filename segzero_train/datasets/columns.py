"""The columns of the published datasets: solution texts, images and masks of a row.

Training rows have `id, problem, solution, image, img_height, img_width` and may have `mask` (ids:
0 background, k object k, 255 not counted) and `category`; published evaluation rows have `image,
mask,
text, image_id, ann_id`, the mask as rows of booleans. Boxes and points count pixels of the stored
image.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero.errors import MalformedAnswer
from segzero.metrics import IGNORE
from segzero.reasoning.answers import parse
from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets.sample import Sample
from segzero_train.datasets.targets import box_and_points
from segzero_train.errors import BadData

SOLUTION_STYLES = ("seg_zero", "vision_reasoner")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_PAIR = rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)"
_SINGLE = re.compile(
    rf"\s*<box>{_PAIR}\s*,\s*{_PAIR}</box>\s*<points>{_PAIR}\s*,\s*{_PAIR}</points>\s*"
)


def parse_solution(text: str) -> tuple[GroundedObject, ...]:
    """The objects of a `solution` in either style; raises ValueError if it is neither."""
    if match := _SINGLE.fullmatch(text):
        x1, y1, x2, y2, *points = map(float, match.groups())
        box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        return (GroundedObject(box, (Point(*points[:2]), Point(*points[2:]))),)
    try:
        json.loads(text)
        return parse(f"<answer>{text}</answer>", "vision_reasoner").objects
    except (MalformedAnswer, ValueError) as error:
        reason = error.reason if isinstance(error, MalformedAnswer) else "no JSON list either"
        raise ValueError(
            f"it isn't <box>(x,y),(x,y)</box><points>(x,y),(x,y)</points>, and {reason}"
        ) from error


def format_solution(objects: Sequence[GroundedObject], style: str) -> str:
    """A `solution` with coordinates rounded to integers.

    `seg_zero` holds exactly one object with two points; `vision_reasoner` any number, of each of
    which it keeps the first point. Raises ValueError.
    """
    if style not in SOLUTION_STYLES:
        raise ValueError(f"unknown style {style!r}; there are {', '.join(SOLUTION_STYLES)}")
    if style == "vision_reasoner":
        listed = [
            {"bbox_2d": _whole(*_corners(item.box)), "point_2d": _whole(*_pair(item.points[0]))}
            for item in objects
        ]
        return json.dumps(listed)
    if len(objects) != 1 or len(objects[0].points) != 2:
        raise ValueError("a solution in the style seg_zero has one object with two points")
    x1, y1, x2, y2 = _whole(*_corners(objects[0].box))
    (ax, ay), (bx, by) = (_whole(*_pair(point)) for point in objects[0].points)
    return f"<box>({x1},{y1}),({x2},{y2})</box><points>({ax},{ay}),({bx},{by})</points>"


def row_name(row: Mapping[str, Any]) -> str:
    """What error messages call a row: its `id`, or image and annotation id."""
    if "id" in row:
        return str(row["id"])
    ids = [str(row[key]) for key in ("image_id", "ann_id") if row.get(key) not in (None, "")]
    return "-".join(ids) or "without an id"


def row_objects(row: Mapping[str, Any]) -> tuple[GroundedObject, ...]:
    """The objects of the row's `solution`; raises BadData naming the row."""
    try:
        return parse_solution(row["solution"])
    except (ValueError, TypeError) as error:
        raise BadData(f"row {row_name(row)}: the solution can't be read: {error}") from error


def row_image(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB; raises BadData naming the row if it can't be decoded."""
    return np.asarray(_decode(row, "image").convert("RGB"))


def row_mask(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """(H, W) uint8 ids, from either kind of `mask` column; raises BadData naming the row."""
    value = row["mask"]
    if isinstance(value, Image.Image | dict | bytes):
        return np.asarray(_decode(row, "mask").convert("L"))
    try:
        mask = np.asarray(value, dtype=bool)
    except (ValueError, TypeError) as error:
        raise BadData(f"row {row_name(row)}: the mask isn't rows of booleans") from error
    if mask.ndim != 2:
        raise BadData(f"row {row_name(row)}: the mask isn't rows of booleans")
    return mask.astype(np.uint8)


def row_to_sample(row: Mapping[str, Any], name: str | None = None) -> Sample:
    """A row with a mask as what `evaluate` asks about; raises BadData naming the row.

    Boxes and points are the solution's or, without one, those of the masks.
    """
    name = name or row_name(row)
    image, ids = row_image(row), row_mask(row)
    if ids.shape != image.shape[:2]:
        raise BadData(
            f"row {name}: the mask is {ids.shape[1]}x{ids.shape[0]} pixels, the image "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    masks = tuple(ids == k for k in np.unique(ids) if k not in (0, IGNORE))
    return Sample(
        name=name,
        category=str(row.get("category") or "all"),
        image=image,
        question=str(row["problem"] if "problem" in row else row["text"]),
        objects=row_objects(row) if row.get("solution") else tuple(map(_placed, masks)),
        masks=masks,
        ignored=ids == IGNORE,
    )


def _decode(row: Mapping[str, Any], column: str) -> Image.Image:
    value = row[column]
    try:
        if isinstance(value, dict):
            source = value.get("bytes")
            value = io.BytesIO(source) if source is not None else value["path"]
        elif isinstance(value, bytes):
            value = io.BytesIO(value)
        image = value if isinstance(value, Image.Image) else Image.open(value)
        image.load()
        return image
    except Exception as error:  # Pillow raises whatever its decoders raise
        raise BadData(f"row {row_name(row)}: the {column} can't be decoded: {error}") from error


def _placed(mask: NDArray[np.bool_]) -> GroundedObject:
    box, points = box_and_points(mask)
    return GroundedObject(Box(*map(float, box)), tuple(Point(*map(float, p)) for p in points))


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2


def _pair(point: Point) -> tuple[float, float]:
    return point.x, point.y


def _whole(*values: float) -> list[int]:
    return [int(value + 0.5) for value in values]
