"""The one reader of pictures, for preparation, training and evaluation."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segzero.errors import BadImage
from segzero.pictures import decode
from segzero_train.datasets.skipped import Unusable

Stored = bytes | Path | Image.Image
"""The content of an image file, the file, or an image that another library decoded."""
Kind = Literal["image", "mask"]
_ORIENTATION = 0x0112


def read_file(file: Path, kind: Kind = "image") -> bytes:
    """Read a picture's file; raises Unusable if it is missing or unreadable."""
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise Unusable(f"missing {kind}", str(file)) from error
    except OSError as error:
        raise Unusable(f"unreadable {kind}", f"{file}: {error.strerror}") from error
    except ValueError as error:  # a character that no file's name has
        raise Unusable(f"missing {kind}", f"{str(file)!r} can't be a file's name") from error


def open_picture(stored: Stored, kind: Kind = "image") -> Image.Image:
    """Decode a picture; its orientation is that of the file.

    The size is checked before any pixel is decoded. Of several frames the first is read.

    Args:
        stored: The picture.
        kind: What error messages call it.

    Returns:
        The decoded picture.

    Raises:
        Unusable: The file is missing, too large or can't be decoded.
    """
    source = read_file(stored, kind) if isinstance(stored, Path) else stored
    try:
        return decode(source)
    except BadImage as error:
        raise Unusable(f"corrupt {kind}", str(error)) from error


def is_turned(picture: Image.Image) -> bool:
    """Whether the picture's EXIF orientation asks for a turn or a flip."""
    try:
        return picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:  # as above
        return False


def rgb_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Convert a decoded picture.

    Args:
        picture: Of any mode with 8 bits a channel, or with two levels.

    Returns:
        (H, W, 3) uint8 RGB; transparency is dropped.

    Raises:
        Unusable: It has more than 8 bits a channel, or can't be converted.
    """
    if picture.mode.startswith(("I", "F")):
        raise Unusable("unreadable image", "not 8 bits a channel")
    try:
        return np.asarray(picture.convert("RGB"))
    except Exception as error:  # Pillow has no conversion from some modes
        raise Unusable("unreadable image", str(error)) from error


def png_bytes(picture: NDArray[np.uint8] | Image.Image, text: PngInfo | None = None) -> bytes:
    """Encode a picture, or (H, W) or (H, W, 3) uint8 pixels, as PNG with text chunks."""
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    # Pillow's default level 6 takes four times as long for a tenth less.
    image.save(buffer, "PNG", compress_level=3, pnginfo=text)
    return buffer.getvalue()
