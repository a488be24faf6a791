"""The columns of the published datasets: question, objects, image and mask of a row.

Training rows have `id, problem, solution, image, img_height, img_width` and may have `mask` (see
`masks`) and `category`. `thinking` and `target` are for imitation, in coordinates relative to 1000:
the thought, and the solution as the model is to write it. Published evaluation rows have
`image, mask, text, image_id, ann_id`, the mask as rows of booleans. Boxes and points of solutions
count pixels of the stored image, upright.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero.metrics import IGNORE
from segzero.pictures import upright
from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets.masks import disagreement, read_mask, to_ids
from segzero_train.datasets.pictures import Kind, Stored, open_picture, rgb_pixels
from segzero_train.datasets.sample import Sample
from segzero_train.datasets.skipped import Unusable
from segzero_train.datasets.solutions import box_corners, parse_solution
from segzero_train.datasets.targets import box_and_points
from segzero_train.errors import BadData

_OLD_CATEGORY = "tier"
"""What files written before version 0.2 call a category."""


def with_category(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A row, question or result with its key `category`, which older files call `tier`."""
    found = dict(entry)
    if _OLD_CATEGORY in found:
        old = found.pop(_OLD_CATEGORY)
        found.setdefault("category", old)
    return found


def row_category(row: Mapping[str, Any]) -> str | None:
    """The row's `category`, or `tier` in older files; None without one."""
    category = with_category(row).get("category")
    return None if category in (None, "") else str(category)


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


def row_target(
    row: Mapping[str, Any], image_size: tuple[int, int]
) -> tuple[GroundedObject, ...] | None:
    """The objects that supervised training imitates in place of the solution's.

    Args:
        row: Has `target`: its text is a solution in coordinates relative to 1000.
        image_size: (width, height) of the image.

    Returns:
        The objects in pixels of the image, fractions kept; None where it is empty.

    Raises:
        BadData: It can't be read; the message names the row.
    """
    if row["target"] is None:
        return None
    try:
        found = parse_solution(row["target"])
    except (ValueError, TypeError) as error:
        raise BadData(f"row {row_name(row)}: the target can't be read: {error}") from error
    width, height = image_size
    return tuple(_in_pixels(item, width / 1000, height / 1000) for item in found)


def _in_pixels(item: GroundedObject, fx: float, fy: float) -> GroundedObject:
    x1, y1, x2, y2 = box_corners(item.box)
    return GroundedObject(
        Box(x1 * fx, y1 * fy, x2 * fx, y2 * fy),
        tuple(Point(point.x * fx, point.y * fy) for point in item.points),
    )


def row_question(row: Mapping[str, Any]) -> str:
    """The row's `problem`, or `text` in published evaluation sets; raises BadData naming it."""
    question = row["problem"] if "problem" in row else row["text"]
    if not isinstance(question, str):
        kind = type(question).__name__
        raise BadData(f"row {row_name(row)}: the question must be text, not {kind}")
    return question


def row_image(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Read a row's image.

    Args:
        row: Has `image`: a PIL image, bytes, or `{"bytes", "path"}`.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        BadData: It can't be read; the message names the row.
    """
    try:
        return rgb_pixels(upright(open_picture(_stored(row, "image"))))
    except Unusable as error:
        raise _undecodable(row, "image", error) from error


def row_mask(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Read a row's mask, of any kind that `masks` lists, or rows of booleans or ids.

    Args:
        row: Has `mask`. Only if its `solution` is empty, 255 is read as "not counted" in a mask of
            0 and 255.

    Returns:
        (H, W) uint8 ids, 0 background, 255 not counted; ids above 254 are numbered anew.

    Raises:
        BadData: It can't be read; the message names the row.
    """
    value = row["mask"]
    white_is_object = not (row.get("solution") and not row_objects(row))
    try:
        if isinstance(value, Image.Image | dict | bytes):
            return _packed(read_mask(_stored(row, "mask"), white_is_object))
        listed = np.asarray(value)
        if listed.ndim == 2 and listed.dtype.kind in "bui":
            return _packed(to_ids(listed.astype(np.int64), white_is_object))
    except Unusable as error:
        raise _undecodable(row, "mask", error) from error
    except (ValueError, TypeError) as error:
        raise BadData(f"row {row_name(row)}: the mask isn't rows of booleans") from error
    raise BadData(f"row {row_name(row)}: the mask isn't rows of booleans")


def check_mask(
    row: Mapping[str, Any],
    image_size: tuple[int, int],
    ids: NDArray[np.uint8],
    objects: Sequence[GroundedObject] | None = None,
) -> None:
    """Raise BadData naming the row unless its mask fits its image and its solution.

    Args:
        row: Named in the message.
        image_size: (height, width) of the image.
        ids: From `row_mask`.
        objects: Of the solution; None if there is none.
    """
    if ids.shape != image_size:
        raise BadData(
            f"row {row_name(row)}: the mask is {ids.shape[1]}x{ids.shape[0]} pixels, the image "
            f"{image_size[1]}x{image_size[0]}"
        )
    if objects is not None and (reason := disagreement(objects, ids)):
        raise BadData(f"row {row_name(row)}: {reason}")


def row_to_sample(row: Mapping[str, Any], name: str | None = None) -> Sample:
    """Convert a row with a mask to a question for evaluation.

    Args:
        row: Has `image`, `mask`, `problem` or `text`, and perhaps `solution` and `category`.
        name: Of the sample; None takes that of the row.

    Returns:
        The sample; its boxes and points are the solution's or, without one, those of the masks.

    Raises:
        BadData: The row can't be used; the message names it.
    """
    image, ids = row_image(row), row_mask(row)
    objects = row_objects(row) if row.get("solution") else None
    check_mask(row, image.shape[:2], ids, objects)
    masks = _masks(ids)
    return Sample(
        name=name or row_name(row),
        category=row_category(row) or "all",
        image=image,
        question=row_question(row),
        objects=mask_objects(ids) if objects is None else objects,
        masks=masks,
        ignored=ids == IGNORE,
    )


def mask_objects(ids: NDArray[np.uint8]) -> tuple[GroundedObject, ...]:
    """Box and points of each object in a mask of ids, in pixels of the mask."""
    return tuple(map(_placed, _masks(ids)))


def _masks(ids: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], ...]:
    return tuple(ids == k for k in np.unique(ids) if k not in (0, IGNORE))


def _stored(row: Mapping[str, Any], column: Kind) -> Stored:
    """The content of a column with a picture; raises Unusable."""
    value = row[column]
    if isinstance(value, dict):
        if value.get("bytes") is not None:
            return bytes(value["bytes"])
        if not value.get("path"):
            raise Unusable(f"missing {column}", "there is none")
        return Path(value["path"])
    if isinstance(value, Image.Image | bytes):
        return value
    raise Unusable(f"missing {column}", f"it is {type(value).__name__}")


def _undecodable(row: Mapping[str, Any], column: Kind, error: Unusable) -> BadData:
    if error.reason == "malformed mask":
        return BadData(f"row {row_name(row)}: the mask can't be used: {error.detail}")
    return BadData(f"row {row_name(row)}: the {column} can't be decoded: {error.detail}")


def _packed(ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The ids as uint8; larger ones are numbered anew in their order."""
    if ids.max(initial=0) <= IGNORE:
        return ids.astype(np.uint8)
    values = [k for k in np.unique(ids).tolist() if k not in (0, IGNORE)]
    if len(values) >= IGNORE:
        raise Unusable("malformed mask", f"not a mask of ids: {len(values)} values")
    packed = np.where(ids == IGNORE, IGNORE, 0).astype(np.uint8)
    for number, k in enumerate(values, start=1):
        packed[ids == k] = number
    return packed


def _placed(mask: NDArray[np.bool_]) -> GroundedObject:
    box, points = box_and_points(mask)
    return GroundedObject(Box(*map(float, box)), tuple(Point(*map(float, p)) for p in points))
