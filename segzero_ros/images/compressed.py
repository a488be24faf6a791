"""Compressed images: their size from the header first, then their pixels."""

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from segzero_ros.images.conversions import (
    BAYER,
    MAX_PIXELS,
    ConversionError,
    demosaic,
    require_pixels,
)

if TYPE_CHECKING:  # as in conversions
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import Header


def compressed_to_rgb(
    message: "CompressedImage", max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG message; what OpenCV and Pillow both read works, too.

    Args:
        message: The compressed image.
        max_pixels: The most pixels that are decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ConversionError: It doesn't decode, is too large, or holds depth.
    """
    if "compressedDepth" in message.format:
        raise ConversionError(
            f"the compressed image holds depth ({message.format[:40]!r}): remap `image` to a "
            "colour camera"
        )
    encoding = message.format.split(";")[0].strip()
    if encoding in BAYER:
        pixels = decode(message, max_pixels, cv2.IMREAD_UNCHANGED)
        if pixels.dtype.kind == "u" and _is_gray(pixels):  # else the publisher computed colours
            return demosaic(pixels if pixels.ndim == 2 else pixels[..., 1], encoding)
    # A rotation from the EXIF header would invalidate the camera's calibration.
    pixels = decode(message, max_pixels, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    rgb: NDArray = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def decode(
    message: "CompressedImage", max_pixels: int, flags: int, *, start: int = 0
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a picture whose size the header of its file allows.

    Args:
        message: The compressed image.
        max_pixels: The most pixels that are decoded.
        flags: As for `cv2.imdecode`.
        start: Byte at which the file begins.

    Returns:
        (H, W) or (H, W, channels), in OpenCV's order.

    Raises:
        ConversionError: It doesn't decode or is too large.
    """
    data = memoryview(message.data)[start:]
    try:
        with Picture.open(io.BytesIO(data)) as picture:  # reads the header only
            width, height = picture.size
    except Picture.DecompressionBombError as error:
        raise ConversionError(
            f"the compressed image is too large, let the camera publish smaller ones: {error}"
        ) from error
    except (OSError, ValueError) as error:
        raise ConversionError(_undecodable(message)) from error
    require_pixels(width, height, max_pixels)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ConversionError(_undecodable(message)) from error
    if pixels is None:
        raise ConversionError(_undecodable(message))
    return pixels  # type: ignore[return-value]


def _is_gray(pixels: NDArray) -> bool:
    """Whether (H, W) or (H, W, channels) has no colour; some formats have no gray pictures."""
    return pixels.ndim == 2 or bool(cv2.absdiff(pixels[..., 0], pixels[..., 2]).mean() < 1)


def _undecodable(message: "CompressedImage") -> str:
    return (
        f"{len(message.data)} bytes of compressed image ({message.format[:40]!r}) don't decode: "
        "publish JPEG or PNG"
    )


def to_jpeg(pixels: NDArray[np.uint8], header: "Header") -> "CompressedImage":
    """Make a JPEG message of a picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        header: The header of the message.
    """
    from sensor_msgs.msg import CompressedImage

    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(data.data)
    return message
