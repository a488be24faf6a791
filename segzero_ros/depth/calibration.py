"""The camera's intrinsics from sensor_msgs/CameraInfo."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from segzero.errors import SegZeroError


class Uncalibrated(SegZeroError):
    """The camera_info doesn't fit the image; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole camera, in pixels; (0, 0) is the centre of the first pixel.

    Attributes:
        fx: Horizontal focal length.
        fy: Vertical focal length.
        cx: Column of the principal point.
        cy: Row of the principal point.
    """

    fx: float
    fy: float
    cx: float
    cy: float


def intrinsics(info: CameraInfo, width: int, height: int) -> Intrinsics:
    """Read the intrinsics of an image.

    They come from P, as in depth_image_proc, because depth is registered to the rectified image;
    from K if a driver leaves P empty. Region of interest and binning count as in image_geometry.

    Args:
        info: The calibration.
        width: Columns of the image.
        height: Rows of the image.

    Raises:
        Uncalibrated: `info` is for another size, has no focal length or numbers that aren't
            finite.
    """
    if not np.isfinite([*info.p, *info.k, *info.d]).all():
        raise Uncalibrated(
            "the camera_info holds NaN or infinity: calibrate the camera again, or correct the "
            "calibration file of its driver"
        )
    bin_x, bin_y, roi = max(info.binning_x, 1), max(info.binning_y, 1), info.roi
    size = (roi.width or info.width) // bin_x, (roi.height or info.height) // bin_y
    if info.width and size != (width, height):
        raise Uncalibrated(
            f"the camera_info is for {size[0]}×{size[1]} pixels, but the image has "
            f"{width}×{height}: remap `camera_info` to that of the image"
        )
    fx, fy, cx, cy = (float(info.p[index]) for index in (0, 5, 2, 6))
    if not fx:
        fx, fy, cx, cy = (float(info.k[index]) for index in (0, 4, 2, 5))
    if not (fx > 0 and fy > 0):
        raise Uncalibrated(
            "the camera_info has no focal length: calibrate the camera, or let its driver publish "
            "the calibration"
        )
    return Intrinsics(
        fx=fx / bin_x,
        fy=fy / bin_y,
        cx=(cx - roi.x_offset) / bin_x,
        cy=(cy - roi.y_offset) / bin_y,
    )


def distortion(info: CameraInfo) -> float:
    """Return the most pixels by which the lens shifts the image; 0 without distortion.

    Args:
        info: A calibration that `intrinsics` took, for an image that isn't rectified.

    Returns:
        The largest shift at 9x9 places of the image; infinite for unknown models.
    """
    if not any(info.d):
        return 0.0
    camera = np.array(info.k).reshape(3, 3)
    if not (camera[0, 0] > 0 and camera[1, 1] > 0):
        camera = np.array(info.p).reshape(3, 4)[:, :3]
    columns, rows = np.linspace(0, info.width - 1, 9), np.linspace(0, info.height - 1, 9)
    ideal = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)  # (81, 2)
    try:
        seen = _distort(ideal, camera, np.array(info.d), info.distortion_model)
    except cv2.error:
        return float("inf")
    return float(np.linalg.norm(seen - ideal, axis=1).max())


def _distort(
    points: NDArray[np.float64], camera: NDArray[np.float64], d: NDArray[np.float64], model: str
) -> NDArray[np.float64]:
    """Where an image shows the points (N, 2) of the rectified image."""
    rays = np.empty((len(points), 1, 3))
    rays[:, 0] = np.c_[points, np.ones(len(points))] @ np.linalg.inv(camera).T
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    seen: NDArray = project(rays, np.zeros(3), np.zeros(3), camera, d)[0].reshape(-1, 2)
    return seen
