"""Depth images as image_transport's `compressedDepth` sends them: PNG or RVL behind a header."""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from segzero_ros.images.compressed import decode
from segzero_ros.images.conversions import MAX_PIXELS, ConversionError, require_pixels

_HEADER = struct.Struct("<iff")
"""The kind of quantisation, which is always 0, and its two parameters."""
_SIZE = struct.Struct("<II")
"""Columns and rows, before RVL's data."""
_MOST_NIBBLES = 11
"""Of a number in RVL; each holds three bits of 32."""


def decompress_depth(
    message: CompressedImage, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Decode a depth image.

    Args:
        message: From a topic `…/compressedDepth`.
        max_pixels: The most pixels that are decoded.

    Returns:
        (H, W) uint16 in millimetres for 16UC1 and mono16, float32 in metres for 32FC1.

    Raises:
        ConversionError: It is no such image, damaged or too large.
    """
    encoding, _, codec = (part.strip() for part in message.format.partition(";"))
    if encoding not in ("16UC1", "mono16", "32FC1"):
        raise _unusable(message, "its encoding is none of 16UC1 and 32FC1")
    if len(message.data) <= _HEADER.size + _SIZE.size:
        raise _unusable(message, f"it has only {len(message.data)} bytes")
    if codec == "compressedDepth rvl":
        values: NDArray = _decode_rvl(message, max_pixels)
    elif codec in ("compressedDepth png", "compressedDepth", ""):
        values = decode(message, max_pixels, cv2.IMREAD_UNCHANGED, start=_HEADER.size)
    else:
        raise _unusable(message, "its codec is neither png nor rvl")
    if values.ndim != 2 or values.dtype != np.uint16:
        raise _unusable(message, "its PNG has not one channel of 16 bits")
    if encoding != "32FC1":
        return values
    _, scale, offset = _HEADER.unpack_from(message.data)
    if not (np.isfinite([scale, offset]).all() and scale > 0):
        raise _unusable(message, "the parameters in its header are not those of depth")
    with np.errstate(divide="ignore"):
        depth = np.float32(scale) / (values.astype(np.float32) - np.float32(offset))
    depth[values == 0] = np.nan
    return depth


def _decode_rvl(message: CompressedImage, max_pixels: int) -> NDArray[np.uint16]:
    """Decode A. D. Wilson's "Fast Lossless Depth Image Compression" (2017)."""
    columns, rows = _SIZE.unpack_from(message.data, _HEADER.size)
    require_pixels(columns, rows, max_pixels)
    numbers = _read_numbers(message)  # (N,)
    pixels = rows * columns
    zigzag = np.zeros(pixels, np.int64)
    known = np.zeros(pixels, bool)
    place = pixel = 0
    while pixel < pixels:  # a run of zeros, a run of others, their differences, and again
        if place + 2 > len(numbers):
            raise _unusable(message, "its RVL data ends too early")
        pixel += int(numbers[place])
        count = int(numbers[place + 1])
        place += 2
        run = numbers[place : place + count]
        if pixel + len(run) > pixels or len(run) < count:
            raise _unusable(message, "its RVL data doesn't fit its size")
        zigzag[pixel : pixel + count] = run
        known[pixel : pixel + count] = True
        pixel += count
        place += count
    differences = (zigzag >> 1) ^ -(zigzag & 1)
    values = np.where(known, np.cumsum(differences), 0).astype(np.uint16)
    return values.reshape(rows, columns)


def _read_numbers(message: CompressedImage) -> NDArray[np.int64]:
    """Read numbers of three bits a nibble, the lowest first; a nibble's top bit says "more"."""
    data = memoryview(message.data)[_HEADER.size + _SIZE.size :]
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(">u4").view(np.uint8)
    nibbles = np.stack([words >> 4, words & 15], axis=1).ravel()  # (N,)
    first = np.flatnonzero(np.r_[True, nibbles[:-1] < 8]) if len(nibbles) else np.empty(0, int)
    lengths = np.diff(np.r_[first, len(nibbles)])
    if not len(first) or lengths.max() > _MOST_NIBBLES:
        raise _unusable(message, "its RVL data is damaged")
    position = np.arange(len(nibbles)) - np.repeat(first, lengths)
    bits = (nibbles & 7).astype(np.int64) << (3 * position)
    return np.add.reduceat(bits, first)


def _unusable(message: CompressedImage, reason: str) -> ConversionError:
    return ConversionError(
        f"{len(message.data)} bytes of compressed depth ({message.format[:40]!r}) are not usable: "
        f"{reason}; remap `depth` to a topic of compressed_depth_image_transport, or set "
        "depth_transport to raw"
    )
