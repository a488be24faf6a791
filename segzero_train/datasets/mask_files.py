"""What the format of a mask's file does to the numbers that were stored in it."""

import io
import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero_train.datasets.pictures import is_turned

_LOSSY = ("JPEG", "MPO", "AVIF", "JPEG2000")
_LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")
_BITS_PER_SAMPLE = 258
"""Tag of a TIFF file."""
_PPM_HEADER = re.compile(rb"P([2356])((?:\s|#[^\n]*\n)+\d+){3}")


def is_exact(picture: Image.Image, data: bytes | None) -> bool:
    """Whether a file keeps numbers as they were stored; lossy formats change them.

    Args:
        picture: The decoded picture.
        data: Its file; None if another library read it.
    """
    if picture.format == "WEBP":
        return data is not None and b"VP8L" in _webp_chunks(data)
    if picture.format == "TIFF":
        return picture.info.get("compression") not in _LOSSY_IN_TIFF
    return picture.format not in _LOSSY


def largest_sample(picture: Image.Image, data: bytes | None) -> int:
    """The number that the file's format takes for white, such as 15 with four bits.

    Args:
        picture: The decoded picture.
        data: Its file; None if another library read it.

    Returns:
        255 where the format doesn't say.
    """
    if picture.format == "PNG" and data is not None:
        return int(2 ** data[24] - 1)  # the header's bit depth
    if picture.format == "TIFF":
        bits: Any = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        return int(2 ** min(bits if isinstance(bits, tuple) else (bits,)) - 1)
    if picture.format == "PPM" and data is not None and (header := _PPM_HEADER.match(data)):
        return int(header.group(2).split()[-1])
    return 255


def unscaled(raw: NDArray, largest: int) -> NDArray:
    """Numbers as they were stored, where Pillow stretched them to 8 or 16 bits.

    Args:
        raw: (H, W), as Pillow read them.
        largest: From `largest_sample`.

    Returns:
        (H, W); black and white alone stay as they are.
    """
    full = 255 if largest <= 255 else 65535
    if largest >= full or np.isin(raw, (0, full)).all():
        return raw
    return np.rint(raw * (largest / full)).astype(np.int64)


def deep_channels(picture: Image.Image, data: bytes | None) -> NDArray[np.uint16] | None:
    """The colour channels of a picture with 16 bits each, of which Pillow keeps eight.

    Args:
        picture: The decoded picture.
        data: Its file; None if another library read it.

    Returns:
        (H, W, 3 or 4) uint16, alpha last; None where nothing was lost.

    Raises:
        ValueError: The numbers can't be had.
    """
    if data is None or len(picture.getbands()) == 1 or largest_sample(picture, data) <= 255:
        return None
    if picture.format not in ("PNG", "PPM") or is_turned(picture):  # OpenCV turns nothing here
        raise ValueError("it has several channels of 16 bits: store one")
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ValueError("its channels of 16 bits can't be read: store one")
    return pixels


def _webp_chunks(data: bytes) -> set[bytes]:
    names, file = set(), io.BytesIO(data)
    file.seek(12)
    while len(head := file.read(8)) == 8:
        names.add(head[:4])
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, io.SEEK_CUR)
    return names
