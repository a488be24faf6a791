"""Picture files: read by their header first, turned upright, as 8-bit RGB; and written."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from segzero.errors import BadImage
from segzero.files import written_whole

MAX_PIXELS = 89_478_485
"""Pillow's own bound against files that claim a huge size: a quarter GiB of RGB."""
MAX_BYTES = 2**28
"""Larger files aren't read."""
WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""The suffixes of files that `write_picture` writes."""
_LONGEST_SIDE = {".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture file.

    Args:
        path: PNG, JPEG, WebP, GIF, BMP, TIFF or another format that Pillow reads. Of several frames
            the first is read.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF orientation says; transparency is dropped, and of 16
        bits a channel the upper eight are kept.

    Raises:
        BadImage: The file can't be read, isn't a whole picture, or has more than MAX_PIXELS.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # of a device there may be no end
    except OSError as error:
        raise BadImage(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise BadImage(f"can't read {str(path)!r}: no file has that name") from error
    if len(data) > MAX_BYTES:
        raise BadImage(f"can't read {path}: it is larger than {MAX_BYTES >> 20} MiB")
    try:
        return to_rgb(upright(decode(data)))
    except BadImage as error:
        raise BadImage(f"{path} can't be used: {error}") from error


def decode(source: bytes | Image.Image, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture as it is stored; its size is checked before any pixel is decoded.

    Args:
        source: The content of a file, or a picture that another library opened.
        max_pixels: The most pixels that are decoded.

    Returns:
        The decoded picture, its first frame.

    Raises:
        BadImage: It has more than `max_pixels`, or isn't a whole picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of sizes that are refused
            picture = Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
            if picture.width * picture.height > max_pixels:
                raise BadImage(
                    f"{picture.width}x{picture.height} pixels, at most {max_pixels} are read"
                )
            picture.load()
    except BadImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImage("no known format of pictures") from error
    except Exception as error:  # Pillow raises whatever its decoders raise
        raise BadImage(f"{error}" or type(error).__name__) from error
    return picture


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; damaged EXIF data turns nothing."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # Pillow raises whatever its EXIF parser raises
        return picture


def check_writable(path: Path, size: tuple[int, int] | None = None) -> None:
    """Raise OSError if `write_picture` can't write there, before the work and not after it.

    Args:
        path: Where to write.
        size: (width, height) of the picture, if it is known.
    """
    if path.is_dir():
        raise OSError(f"can't write {path}: it is a folder")
    if path.suffix.lower() not in WRITTEN:
        raise OSError(
            f"can't write {path}: its name must end in {', '.join(WRITTEN[:-1])} or {WRITTEN[-1]}"
        )
    longest = _LONGEST_SIDE.get(path.suffix.lower())
    if longest and size and max(size) > longest:
        raise OSError(
            f"can't write {path}: {size[0]}x{size[1]} pixels are too many for this format, whose "
            f"sides have {longest} at most: name a .png"
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OSError(f"can't write {path}: there is no folder {path.parent}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"can't write {path}: the folder {path.parent} can't be written to")


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB whole or not at all; the suffix, one of WRITTEN, is the format."""
    with written_whole(path) as partial:
        Image.fromarray(image).save(partial)


def to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Convert a decoded picture to (H, W, 3) uint8 RGB; of 16 bits a channel the upper eight stay.

    Raises:
        BadImage: It has another depth.
    """
    if picture.mode.startswith("I;16"):
        return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if picture.mode in ("I", "F"):
        raise BadImage("it has more than 16 bits a channel: store it with 8")
    try:
        return np.array(picture.convert("RGB"))
    except Exception as error:  # Pillow has no conversion from some modes
        raise BadImage(str(error)) from error
