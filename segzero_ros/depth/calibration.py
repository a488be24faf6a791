"""The camera's geometry from sensor_msgs/CameraInfo."""

from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo

from segzero.errors import SegZeroError


class Uncalibrated(SegZeroError):
    """The camera_info doesn't say how the image was taken; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Focal lengths and principal point in pixels; (0, 0) is the centre of the first pixel."""

    fx: float
    fy: float
    cx: float
    cy: float


def intrinsics(info: CameraInfo, width: int, height: int) -> Intrinsics:
    """Return the intrinsics of an image of width × height pixels. Raises Uncalibrated.

    From P, as depth_image_proc takes them: depth is registered to the rectified image. Where a
    driver leaves P empty, K stands for it. Region of interest and binning count as in
    image_geometry.
    """
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
