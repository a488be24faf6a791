"""ROS images ↔ NumPy: every common encoding to RGB, without a copy if the layout allows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segzero.errors import BadImage
from segzero_ros.images import cv_bridge


class ConversionError(BadImage):
    """The message holds no usable image; the text says which field is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Memory layout of an encoding of sensor_msgs/Image, and its conversion to RGB.

    Attributes:
        dtype: Of one channel, without byte order.
        channels: Per pixel; packed YUV 4:2:2 has two.
        to_rgb: (H, W, channels) in native byte order → (H, W, 3) uint8.
        bridged: Whether cv_bridge converts it if usable; it has no generic encodings.
    """

    dtype: str
    channels: int
    to_rgb: Callable[[NDArray], NDArray[np.uint8]]
    bridged: bool = False


def to_rgb(message: Image) -> NDArray[np.uint8]:
    """Convert an image to RGB.

    16-bit values are divided by 257; float values must lie in [0, 1]. The generic 8UC3 and 8UC4
    are read in OpenCV's order, blue first, as RViz does.

    Args:
        message: An image with any padding (`step`) and byte order.

    Returns:
        (H, W, 3) uint8 RGB; for rgb8 and rgba8 a read-only view into `message.data`.

    Raises:
        ConversionError: The image has an unknown encoding or is damaged.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ConversionError(
            f"image encoding {message.encoding[:40]!r} is not supported: let the camera driver "
            f"publish one of {', '.join(ENCODINGS)}"
        )
    if message.encoding in _PACKED_YUV and message.width % 2:
        raise ConversionError(
            f"a {message.encoding} image needs an even width, this one has {message.width} "
            "columns: check the camera driver"
        )
    pixels = as_array(message, encoding.dtype, encoding.channels)
    if encoding.bridged and cv_bridge.cv_bridge_usable():
        return cv_bridge.to_rgb(pixels, message.encoding)
    return encoding.to_rgb(pixels)


def as_array(message: Image, dtype: str, channels: int) -> NDArray:
    """View the data of an image as an array.

    Args:
        message: An image with any padding (`step`) and byte order.
        dtype: Of one channel, without byte order.
        channels: Per pixel.

    Returns:
        (H, W, channels) in native byte order; a copy only if bytes must be swapped.

    Raises:
        ConversionError: The sizes in the message don't fit each other.
    """
    height, width = message.height, message.width
    if not height or not width:
        raise ConversionError(f"the image is empty ({width}×{height}): is the camera running?")
    kind = np.dtype(dtype)
    row = width * channels * kind.itemsize
    if message.step < row:
        raise ConversionError(
            f"image step is {message.step} bytes, but a row of {width} {message.encoding} pixels "
            f"takes {row}: correct `step` or `encoding` in the camera driver"
        )
    if len(message.data) != message.step * height:
        raise ConversionError(
            f"the image has {len(message.data)} bytes of data, but step × height is "
            f"{message.step} × {height} = {message.step * height}: check the camera driver"
        )
    pixels: NDArray = np.ndarray(
        (height, width, channels),
        kind.newbyteorder(">" if message.is_bigendian else "<"),
        memoryview(message.data),
        strides=(message.step, channels * kind.itemsize, kind.itemsize),
    )
    return pixels.astype(kind, copy=False)


def compressed_to_rgb(message: CompressedImage) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG message.

    Args:
        message: The compressed image.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ConversionError: It doesn't decode, or holds depth.
    """
    if "compressedDepth" in message.format:
        raise ConversionError(
            f"the compressed image holds depth ({message.format[:40]!r}): remap `image` to a "
            "colour camera"
        )
    data = np.frombuffer(message.data, np.uint8)
    try:
        # A rotation from the EXIF header would invalidate the camera's calibration.
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ConversionError(_undecodable(message)) from error
    if pixels is None:
        raise ConversionError(_undecodable(message))
    rgb: NDArray = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def from_array(pixels: NDArray, header: Header) -> Image:
    """Make a message of an image or of depth.

    Args:
        pixels: (H, W) uint8 for mono8, (H, W, 3) uint8 for rgb8, (H, W) uint16 for 16UC1 or
            (H, W) float32 for 32FC1.
        header: The header of the message.

    Raises:
        ConversionError: `pixels` has another shape or dtype.
    """
    encoding = _ENCODING_OF.get((pixels.dtype.str, pixels.shape[2:])) if pixels.ndim > 1 else None
    if encoding is None:
        raise ConversionError(
            "only (H, W) or (H, W, 3) uint8, (H, W) uint16 and (H, W) float32 become an image, not "
            f"{pixels.shape} {pixels.dtype}"
        )
    message = Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=math.prod(pixels.shape[1:]) * pixels.itemsize,
    )
    # Into the message's own array: the constructor would copy the data element by element.
    message.data.frombytes(np.ascontiguousarray(pixels).view(np.uint8).data)
    return message


def _undecodable(message: CompressedImage) -> str:
    return (
        f"{len(message.data)} bytes of compressed image ({message.format[:40]!r}) don't decode: "
        "publish JPEG or PNG"
    )


def _first_three(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[..., :3]


def _eight_bit(pixels: NDArray) -> NDArray[np.uint8]:
    """Scale [0, 65535] to [0, 255]; 8-bit values stay."""
    if pixels.dtype == np.uint8:
        return pixels
    # Contiguous, because OpenCV misreads 16-bit rows at odd addresses.
    scaled: NDArray = cv2.convertScaleAbs(np.ascontiguousarray(pixels), alpha=1 / 257)
    return scaled


def _by_code(code: int) -> Callable[[NDArray], NDArray[np.uint8]]:
    """Convert by one of OpenCV's colour codes, at full depth, then scale to 8 bit."""
    return lambda pixels: _eight_bit(cv2.cvtColor(np.ascontiguousarray(pixels), code))


def _from_unit_range(code: int) -> Callable[[NDArray], NDArray[np.uint8]]:
    def convert(pixels: NDArray) -> NDArray[np.uint8]:
        if not np.isfinite(pixels).all():
            raise ConversionError(
                "the float image holds NaN or infinity: let the camera driver fill invalid pixels"
            )
        low, high = pixels.min(), pixels.max()
        if low < 0 or high > 1:
            raise ConversionError(
                f"float images must lie in [0, 1], this one in [{low:.3g}, {high:.3g}]: if it is a "
                "depth image, remap `image` to a colour camera"
            )
        return cv2.cvtColor(np.rint(pixels * 255).astype(np.uint8), code)

    return convert


_ENCODING_OF = {
    ("|u1", ()): "mono8",
    ("|u1", (3,)): "rgb8",
    ("<u2", ()): "16UC1",
    ("<f4", ()): "32FC1",
}
"""Encoding by dtype and the shape after (H, W)."""

_PACKED_YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")

# ROS names a Bayer pattern by its first row's first two pixels, OpenCV's short names by the second
# row's second and third: rggb is BG.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding("u1", 3, _first_three),
    "rgba8": Encoding("u1", 4, _first_three),
    "bgr8": Encoding("u1", 3, _by_code(cv2.COLOR_BGR2RGB), bridged=True),
    "bgra8": Encoding("u1", 4, _by_code(cv2.COLOR_BGRA2RGB), bridged=True),
    "mono8": Encoding("u1", 1, _by_code(cv2.COLOR_GRAY2RGB), bridged=True),
    "rgb16": Encoding("u2", 3, _eight_bit, bridged=True),
    "rgba16": Encoding("u2", 4, _by_code(cv2.COLOR_RGBA2RGB), bridged=True),
    "bgr16": Encoding("u2", 3, _by_code(cv2.COLOR_BGR2RGB), bridged=True),
    "bgra16": Encoding("u2", 4, _by_code(cv2.COLOR_BGRA2RGB), bridged=True),
    "mono16": Encoding("u2", 1, _by_code(cv2.COLOR_GRAY2RGB), bridged=True),
    "8UC1": Encoding("u1", 1, _by_code(cv2.COLOR_GRAY2RGB)),
    "8UC3": Encoding("u1", 3, _by_code(cv2.COLOR_BGR2RGB)),
    "8UC4": Encoding("u1", 4, _by_code(cv2.COLOR_BGRA2RGB)),
    "16UC1": Encoding("u2", 1, _by_code(cv2.COLOR_GRAY2RGB)),
    "32FC1": Encoding("f4", 1, _from_unit_range(cv2.COLOR_GRAY2RGB)),
    "32FC3": Encoding("f4", 3, _from_unit_range(cv2.COLOR_BGR2RGB)),
    "yuv422": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_UYVY), bridged=True),
    "uyvy": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_YUY2), bridged=True),
    "yuyv": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_YUY2)),
} | {
    f"bayer_{pattern}{bits}": Encoding(f"u{bits // 8}", 1, _by_code(code), bridged=True)
    for pattern, code in _BAYER.items()
    for bits in (8, 16)
}
