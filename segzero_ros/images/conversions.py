"""ROS images ↔ NumPy: every common encoding to RGB, without a copy if the layout allows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadImage
from segzero_ros.images import cv_bridge
from segzero_ros.images.yuv import SEMI_PLANAR, SemiPlanar, semi_planar_to_rgb

if TYPE_CHECKING:  # bags are read without ROS: their messages have the same fields
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

MAX_PIXELS = 40_000_000
"""Default of the parameter max_pixels: a little more than 8K."""


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


def to_rgb(message: "Image", max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Convert an image to RGB.

    16-bit values are divided by 257; float values must lie in [0, 1]. The generic 8UC3 and 8UC4
    are read in OpenCV's order, blue first, as RViz does.

    Args:
        message: An image with any padding (`step`) and byte order.
        max_pixels: The most pixels that are converted.

    Returns:
        (H, W, 3) uint8 RGB; for rgb8 and rgba8 a read-only view into `message.data`.

    Raises:
        ConversionError: The image has an unknown encoding, is damaged or too large.
    """
    if layout := SEMI_PLANAR.get(message.encoding):
        return _semi_planar(message, layout, max_pixels)
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ConversionError(
            f"image encoding {message.encoding[:40]!r} is not supported: let the camera driver "
            f"publish one of {', '.join((*ENCODINGS, *SEMI_PLANAR))}"
        )
    if message.encoding in _PACKED_YUV and message.width % 2:
        raise ConversionError(
            f"a {message.encoding} image needs an even width, this one has {message.width} "
            "columns: check the camera driver"
        )
    pixels = as_array(message, encoding.dtype, encoding.channels)
    require_pixels(message.width, message.height, max_pixels)
    if encoding.bridged and cv_bridge.cv_bridge_usable():
        return cv_bridge.to_rgb(pixels, message.encoding)
    return encoding.to_rgb(pixels)


def as_array(message: "Image", dtype: str, channels: int) -> NDArray:
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
    kind = np.dtype(dtype)
    _require_rows(message, width * channels * kind.itemsize)
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


def demosaic(pixels: NDArray, encoding: str) -> NDArray[np.uint8]:
    """Compute the colours of a Bayer mosaic.

    Args:
        pixels: (H, W) uint8 or uint16.
        encoding: A key of `BAYER`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return ENCODINGS[encoding].to_rgb(pixels[..., None])


def require_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image that would take too much memory.

    Args:
        width: Its columns.
        height: Its rows.
        max_pixels: The most pixels allowed.

    Raises:
        ConversionError: It has more.
    """
    if width * height > max_pixels:
        raise ConversionError(
            f"the image has {width}×{height} pixels, more than max_pixels allows ({max_pixels}): "
            "let the camera publish smaller ones or raise max_pixels"
        )


def from_array(pixels: NDArray, header: "Header") -> "Image":
    """Make a message of an image or of depth.

    Args:
        pixels: (H, W) uint8 for mono8, (H, W, 3) uint8 for rgb8, (H, W) uint16 for 16UC1 or
            (H, W) float32 for 32FC1.
        header: The header of the message.

    Raises:
        ConversionError: `pixels` has another shape or dtype.
    """
    from sensor_msgs.msg import Image

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


def _require_rows(message: "Image", row: int) -> None:
    """Check that the image isn't empty and that `row` bytes fit into its step."""
    if not message.height or not message.width:
        raise ConversionError(
            f"the image is empty ({message.width}×{message.height}): is the camera running?"
        )
    if message.step < row:
        raise ConversionError(
            f"image step is {message.step} bytes, but a row of {message.width} {message.encoding} "
            f"pixels takes {row}: correct `step` or `encoding` in the camera driver"
        )


def _semi_planar(message: "Image", layout: SemiPlanar, max_pixels: int) -> NDArray[np.uint8]:
    height, width, step = message.height, message.width, message.step
    _require_rows(message, width)
    if any(side % layout.subsampling for side in (width, height, step)):
        raise ConversionError(
            f"{message.encoding} images need an even width, height and step, this one has "
            f"{width}×{height} and {step}: check the camera driver"
        )
    if len(message.data) != layout.size(step, height):
        raise ConversionError(
            f"the image has {len(message.data)} bytes of data, but {width}×{height} pixels of "
            f"{message.encoding} with a step of {step} take {layout.size(step, height)}: check "
            "the camera driver"
        )
    require_pixels(width, height, max_pixels)
    data = np.frombuffer(memoryview(message.data), np.uint8)
    return semi_planar_to_rgb(data, height, width, step, layout)


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
_MOSAICS = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

BAYER = {
    f"bayer_{pattern}{bits}": Encoding(f"u{bits // 8}", 1, _by_code(code), bridged=True)
    for pattern, code in _MOSAICS.items()
    for bits in (8, 16)
}

ENCODINGS: dict[str, Encoding] = {
    **BAYER,
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
    "16UC3": Encoding("u2", 3, _by_code(cv2.COLOR_BGR2RGB)),
    "16UC4": Encoding("u2", 4, _by_code(cv2.COLOR_BGRA2RGB)),
    "32FC1": Encoding("f4", 1, _from_unit_range(cv2.COLOR_GRAY2RGB)),
    "32FC3": Encoding("f4", 3, _from_unit_range(cv2.COLOR_BGR2RGB)),
    "yuv422": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_UYVY), bridged=True),
    "uyvy": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_YUY2), bridged=True),
    "yuyv": Encoding("u1", 2, _by_code(cv2.COLOR_YUV2RGB_YUY2)),
}
