"""Points in space from a mask and a depth image."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero_ros.calibration import Intrinsics

MARGIN = 2
"""Pixels from its outline up to which an object's depth is doubted."""
JUMP = 0.03
"""Share of its depth by which such a pixel may be behind the nearest one around it."""

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("id", "<u4")])
"""One point of the message; with an id of 32 bits it has 16 bytes, and every field is aligned."""

_FIELDS = [
    *(
        PointField(name=axis, offset=offset, datatype=PointField.FLOAT32, count=1)
        for axis, offset in (("x", 0), ("y", 4), ("z", 8))
    ),
    PointField(name="id", offset=12, datatype=PointField.UINT32, count=1),
]


class NoCloud(SegZeroError):
    """There is no cloud for an image; the text says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthView:
    """Depth along the optical axis for every pixel of the image.

    depth: (H, W) uint16 or float32; 0, negative, NaN and infinite values are invalid.
    unit: metres that a depth of 1 stands for.
    """

    depth: NDArray[np.uint16] | NDArray[np.float32]
    unit: float
    intrinsics: Intrinsics


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where an object is, and how large what is seen of it; both (3,) in metres.

    centroid: mean of its points. extent: size of their axis-aligned box.
    """

    centroid: NDArray[np.float64]
    extent: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """The masked objects in space.

    points: (N, 3) float32, metres. ids: (N,) uint8, the object that each point belongs to.
    places: by id, for objects that have points.
    """

    points: NDArray[np.float32]
    ids: NDArray[np.uint8]
    places: dict[int, Place]


EMPTY = Cloud(np.empty((0, 3), np.float32), np.empty(0, np.uint8), {})


def locate(
    ids: NDArray[np.uint8], view: DepthView, pose: NDArray[np.float64] | None = None
) -> Cloud:
    """Lift the pixels of a mask into space; pixels without valid depth have no point.

    ids: (H, W), 0 for background. pose: (4, 4), takes points of the camera's optical frame (x
    right, y down, z forward) to another frame; None stays in the camera's.

    At its outline a depth camera mixes an object with what is behind it, and a mask is rarely right
    to the pixel. Pixels there that lie behind a jump in depth are left out: else a few of them
    would make a cup as deep as the room.
    Raises NoCloud if depth and mask differ in size.
    """
    if ids.shape != view.depth.shape:
        raise NoCloud(
            f"the depth image is {_size(view.depth)}, but the image {_size(ids)}: let the driver "
            "publish depth that is registered to the image"
        )
    left, top, width, height = cv2.boundingRect(ids)
    if not width:
        return EMPTY
    rows = slice(max(top - MARGIN, 0), top + height + MARGIN)
    columns = slice(max(left - MARGIN, 0), left + width + MARGIN)
    ids, depth = ids[rows, columns], view.depth[rows, columns] * np.float32(view.unit)
    v, u = np.nonzero(_trusted(ids, depth))
    z = depth[v, u]
    camera = view.intrinsics
    points = np.empty((len(z), 3), np.float32)
    points[:, 0] = (u + (columns.start - camera.cx)) / camera.fx * z
    points[:, 1] = (v + (rows.start - camera.cy)) / camera.fy * z
    points[:, 2] = z
    if pose is not None:
        points = (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    return Cloud(points, ids[v, u], _places(points, ids[v, u]))


def to_message(cloud: Cloud, header: Header) -> PointCloud2:
    """Make the message, as sensor_msgs_py's create_cloud does, which fails for an empty cloud.

    Fields: x, y, z (float32, metres) and id (uint32), by which RViz can colour the points.
    """
    rows = np.empty(len(cloud.points), POINT)
    rows["x"], rows["y"], rows["z"] = cloud.points.T
    rows["id"] = cloud.ids
    message = PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        fields=_FIELDS,
        point_step=POINT.itemsize,
        row_step=rows.nbytes,
        is_dense=True,  # no NaN among the points
    )
    message.data.frombytes(rows.view(np.uint8).data)
    return message


def _trusted(ids: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels belong to an object, and have a depth that is its own."""
    known = np.isfinite(depth) & (depth > 0)
    window = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    outline = cv2.erode(ids, window) != cv2.dilate(ids, window)
    nearest = cv2.erode(np.where(known, depth, np.float32(np.inf)), window)
    behind = depth > nearest * (1 + JUMP)
    return (ids > 0) & known & ~(outline & behind)


def _places(points: NDArray[np.float32], ids: NDArray[np.uint8]) -> dict[int, Place]:
    places = {}
    for object_id in np.flatnonzero(np.bincount(ids)):
        own = points[ids == object_id]
        places[int(object_id)] = Place(own.mean(axis=0, dtype=np.float64), np.ptp(own, axis=0))
    return places


def _size(pixels: NDArray) -> str:
    height, width = pixels.shape
    return f"{width}×{height}"
