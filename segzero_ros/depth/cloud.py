"""3D points from a mask and a depth image."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.errors import SegZeroError
from segzero_ros.depth.calibration import Intrinsics

BORDER_WIDTH = 320
"""Image width in pixels for which an object's border is one pixel wide; it grows in proportion."""
STEP = 0.01
"""Share of its depth by which a border pixel may leave the object's interior surface."""
THIN_STEP = 0.05
"""The same for an object too thin to have an interior, from the nearest surface around."""
SPIKE = 0.2
"""Share of the median depth around it by which an interior pixel may differ."""
GAP = 0.25
"""Relative gap in depth between an object and what doesn't belong to it."""
RARE = 0.1
"""Pixels behind or before a gap are outliers if they are fewer than this share of the object's."""
SATURATED = 65535
"""The largest value of 16 bits: many cameras write it where they measured nothing."""


class DepthUnavailable(SegZeroError):
    """There is no depth for an image; the text says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthView:
    """Depth along the optical axis for every pixel of the image.

    Attributes:
        depth: (H, W) uint16 or float32; 0, negative, NaN and infinite values are invalid, and
            `SATURATED` in uint16.
        unit: Metres of a depth of 1.
        intrinsics: Those of the image.
    """

    depth: NDArray[np.uint16] | NDArray[np.float32]
    unit: float
    intrinsics: Intrinsics


@dataclass(frozen=True, slots=True, eq=False)
class ObjectGeometry:
    """Position and size of the visible part of an object, in metres.

    Attributes:
        centroid: Mean of its points, (3,).
        extent: Size of their axis-aligned box, (3,).
    """

    centroid: NDArray[np.float64]
    extent: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """The masked objects in 3D.

    Attributes:
        points: (N, 3) float32, metres.
        ids: (N,) uint32, the object that each point belongs to.
        objects: Geometry by id, for objects that have points.
    """

    points: NDArray[np.float32]
    ids: NDArray[np.uint32]
    objects: dict[int, ObjectGeometry]


_FAR = np.float32(1e6)
EMPTY = Cloud(np.empty((0, 3), np.float32), np.empty(0, np.uint32), {})


def lift_mask(
    ids: NDArray[np.uint8] | NDArray[np.uint16],
    view: DepthView,
    pose: NDArray[np.float64] | None = None,
) -> Cloud:
    """Back-project the pixels of a mask of ids; see `lift_masks`.

    Args:
        ids: The mask, (H, W); 0 is background.
        view: The depth of the same pixels.
        pose: As for `lift_masks`.

    Raises:
        DepthUnavailable: Depth and mask differ in size.
    """
    numbers = np.flatnonzero(np.bincount(ids.ravel())).tolist()
    return lift_masks({number: ids == number for number in numbers if number}, view, pose)


def lift_masks(
    masks: Mapping[int, NDArray[np.bool_]],
    view: DepthView,
    pose: NDArray[np.float64] | None = None,
) -> Cloud:
    """Back-project the pixels of masks; pixels without valid depth give no point.

    Masks may overlap, as those of two goals for one object do: each has its own points.

    At an object's border a depth camera mixes it with the background, and a mask is rarely exact to
    the pixel. A few such pixels would make a cup as deep as the room. So a border pixel counts only
    if its depth continues the interior surface. Single pixels that differ much from those around
    them, and few pixels far behind or before the others, are no points either.

    Args:
        masks: (H, W) each, by the object's id.
        view: The depth of the same pixels.
        pose: (4, 4) transform from the camera's optical frame (x right, y down, z forward) to
            another frame; None stays in the camera's.

    Raises:
        DepthUnavailable: Depth and masks differ in size.
    """
    for mask in masks.values():
        if mask.shape != view.depth.shape:
            raise DepthUnavailable(
                f"the depth image is {_size(view.depth)}, but the image {_size(mask)}: let the "
                "driver publish depth that is registered to the image"
            )
    found = {number: _back_project(mask, view) for number, mask in masks.items()}
    found = {number: points for number, points in found.items() if len(points)}
    if not found:
        return EMPTY
    if pose is not None:
        found = {
            number: (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
            for number, points in found.items()
        }
    return Cloud(
        points=np.concatenate(list(found.values())),
        ids=np.repeat(np.array(list(found), np.uint32), [len(points) for points in found.values()]),
        objects={number: _geometry(points) for number, points in found.items()},
    )


def _back_project(mask: NDArray[np.bool_], view: DepthView) -> NDArray[np.float32]:
    """The points (N, 3) of one object in the camera's optical frame."""
    margin = max(1, round(mask.shape[1] / BORDER_WIDTH))
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(top - margin, 0), top + height + margin)
    columns = slice(max(left - margin, 0), left + width + margin)
    if not width:
        return EMPTY.points
    raw = view.depth[rows, columns]
    depth = raw * np.float32(view.unit)
    known = np.isfinite(depth) & (depth > 0)
    if raw.dtype == np.uint16:
        known &= raw != SATURATED
    valid = _valid_pixels(mask[rows, columns], np.where(known, depth, 0), known, margin)
    v, u = np.nonzero(valid)
    z, camera = depth[valid], view.intrinsics  # (N,)
    points = np.empty((len(z), 3), np.float32)
    points[:, 0] = (u + (columns.start - camera.cx)) / camera.fx * z
    points[:, 1] = (v + (rows.start - camera.cy)) / camera.fy * z
    points[:, 2] = z
    return points


def _valid_pixels(
    mask: NDArray[np.bool_],
    depth: NDArray[np.float32],
    known: NDArray[np.bool_],
    margin: int,
) -> NDArray[np.bool_]:
    """Which pixels (H, W) have the depth of the object; its border is `margin` pixels wide."""
    narrow, wide = _kernel(margin), _kernel(2 * margin)
    # The median of 3x3 pixels stays inside the mask, because the border is at least 1 wide.
    median = cv2.medianBlur(depth, 3)
    spike = (median > 0) & (np.abs(depth - median) > SPIKE * median)
    interior = cv2.erode(mask.view(np.uint8), narrow).astype(bool) & known & ~spike
    near = cv2.erode(np.where(interior, depth, _FAR), wide)
    far = cv2.dilate(np.where(interior, depth, -_FAR), wide)
    slack = STEP * depth + (far - near)  # the interior may continue with its own slope
    continues = (depth >= near - slack) & (depth <= far + slack)
    surface = cv2.erode(np.where(known, depth, _FAR), narrow)
    thin = (near == _FAR) & (depth <= surface * (1 + THIN_STEP))
    return _without_outliers(mask & known & (interior | continues | thin), depth)


def _without_outliers(valid: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Drop the few of the pixels (H, W) that a gap in depth separates from the others."""
    z = depth[valid]  # (N,)
    if not len(z) or z.max() <= z.min() * (1 + GAP):
        return valid
    bins = (np.log(z) * (20 / np.log1p(GAP))).astype(np.int64)  # 20 bins are a gap
    bins -= bins.min()
    counts = np.bincount(bins)
    occupied = np.flatnonzero(counts)
    starts = np.flatnonzero(np.diff(occupied, prepend=-100) > 20)
    sizes = np.add.reduceat(counts[occupied], starts)  # pixels of each group between two gaps
    kept = np.zeros(len(counts), bool)
    kept[occupied] = np.repeat(
        sizes >= RARE * sizes.max(), np.diff(np.append(starts, len(occupied)))
    )
    valid = valid.copy()
    valid[valid] = kept[bins]
    return valid


def _geometry(points: NDArray[np.float32]) -> ObjectGeometry:
    # Axis by axis: NumPy takes thirty times as long to reduce (N, 3) at once.
    return ObjectGeometry(
        centroid=np.array([axis.mean(dtype=np.float64) for axis in points.T]),
        extent=np.array([np.ptp(axis) for axis in points.T]),
    )


def _kernel(margin: int) -> NDArray[np.uint8]:
    return np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)


def _size(pixels: NDArray) -> str:
    height, width = pixels.shape
    return f"{width}×{height}"
