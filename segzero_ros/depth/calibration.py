"""The camera's intrinsics from sensor_msgs/CameraInfo."""

from dataclasses import dataclass

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
        Uncalibrated: `info` is for another size or has no focal length.
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
