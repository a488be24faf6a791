"""The one reader of masks, for preparation, training and evaluation.

A mask holds ids: 0 background, k object k, 255 not counted. Other kinds are recognised:

- one of two levels (only 0 and 255, only 0 and 1, mode `1`): white is the object;
- a palette picture: the indices are the ids, unless what reduced its colours ordered them;
- grey stored as RGB, or with transparency: transparent pixels are background;
- black and white with soft edges, as JPEG and resizing make them: white is the object.

Any other mask with soft edges is refused, since its values are no ids.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segzero.metrics import IGNORE
from segzero.pictures import upright
from segzero.types import Box, GroundedObject
from segzero_train.datasets.mask_edges import Raw, is_blended, is_soft, is_trimap
from segzero_train.datasets.mask_files import (
    deep_channels,
    is_exact,
    largest_sample,
    unscaled,
)
from segzero_train.datasets.pictures import Stored, open_picture, png_bytes, read_file
from segzero_train.datasets.skipped import Unusable

_MARK = "segzero"
"""Key in the PNG's text, and in `Image.info`: the values are ids, and 255 is never an object."""
_LOSSY_GREY = 8
"""Difference of the colour channels of a grey pixel in a JPEG, at most."""

_EDGE = 7
"""Pixels across which a soft edge may run, at most."""
_NEAR = 16
"""How far from an edge compression changes pixels."""

Ids = NDArray[np.int32]


def read_mask(stored: Stored, white_is_object: bool = True) -> Ids:
    """Read a mask.

    Args:
        stored: The mask.
        white_is_object: How to read a mask of only 0 and 255: as one object, or as background and
            pixels that don't count.

    Returns:
        (H, W) int32 ids, 0 background, 255 not counted; upright.

    Raises:
        Unusable: The mask is missing, can't be decoded, or isn't a mask of ids.
    """
    data = read_file(stored, "mask") if isinstance(stored, Path) else stored
    picture = open_picture(data, "mask")
    file = data if isinstance(data, bytes) else None
    if (frames := _count_frames(picture)) > 1:
        raise Unusable("malformed mask", f"it has {frames} frames: one picture is meant")
    mask = upright(picture)
    if picture.info.get(_MARK) == "ids":
        return np.asarray(mask).astype(np.int32)
    if mask.mode == "1":
        return np.asarray(mask).astype(np.int32)
    exact = is_exact(picture, file)
    if mask.mode in ("P", "PA"):
        raw, by_shade = _indices(mask)
        white_is_object = white_is_object and (by_shade or _white_at(mask, IGNORE))
        return to_ids(raw, white_is_object)
    try:
        deep = deep_channels(picture, file)
    except ValueError as error:
        raise Unusable("malformed mask", str(error)) from error
    raw = (
        _grey(mask, lossy=not exact)
        if deep is None
        else _one_channel(deep, False, deep.shape[2] == 4)
    )
    if raw.dtype == np.uint8 or picture.format == "PPM":
        raw = unscaled(raw, largest_sample(picture, file))
    return to_ids(raw, white_is_object, exact)


def _count_frames(picture: Image.Image) -> int:
    try:
        return int(getattr(picture, "n_frames", 1))
    except Exception as error:  # Pillow raises whatever its parsers of further frames raise
        raise Unusable("corrupt mask", str(error)) from error


def to_ids(raw: NDArray, white_is_object: bool = True, exact: bool = True) -> Ids:
    """Interpret the values of a mask, see the module's text.

    Args:
        raw: (H, W) whole numbers from 0 to 65535.
        white_is_object: As in `read_mask`.
        exact: False for a lossy format, whose values can't be ids.

    Returns:
        As `read_mask`.

    Raises:
        Unusable: The values aren't ids.
    """
    if raw.size == 0 or raw.min() < 0 or raw.max() > 65535:
        raise Unusable("malformed mask", "its values aren't ids from 0 to 65535")
    raw = raw.astype(np.uint8 if raw.max() <= IGNORE else np.uint16)
    counts = np.bincount(raw.ravel())
    values = np.flatnonzero(counts)
    white = IGNORE if values[-1] <= IGNORE else 65535
    if set(values.tolist()) <= {0, white}:
        if white_is_object or white != IGNORE:
            return (raw > 0).astype(np.int32)
        return raw.astype(np.int32)
    middle = values[(values != 0) & (values != white)]
    if not exact or is_soft(raw, counts, middle, has_both=counts[0] > 0 and white in values):
        return _black_and_white(raw, middle, white, exact)
    if counts[0] and white in values and middle[-1] > white // 4 and is_trimap(raw, white):
        reason = "grey lies everywhere between black and white, as in a trimap or at soft edges"
        raise Unusable("malformed mask", f"{reason}: store the object alone, as white or as ids")
    if is_blended(raw, white):
        reason = "its ids were blended where it was resized, so that rims run around objects"
        raise Unusable("malformed mask", f"{reason}: resize masks to the nearest pixel")
    ids = raw.astype(np.int32)
    ids[raw == white] = IGNORE
    return ids


def mask_image(ids: NDArray[np.uint8]) -> Image.Image:
    """A mask as a picture that `read_mask` reads back exactly.

    Args:
        ids: (H, W), 0 background, k object k, 255 not counted.

    Returns:
        A grey picture that is marked as ids.
    """
    picture = Image.fromarray(ids)
    picture.info[_MARK] = "ids"
    return picture


def mask_png(ids: NDArray[np.uint8]) -> bytes:
    """Encode a mask as `mask_image` makes it as PNG, with the mark."""
    text = PngInfo()
    text.add_text(_MARK, "ids")
    return png_bytes(ids, text)


def disagreement(objects: Sequence[GroundedObject], ids: NDArray) -> str | None:
    """Compare a solution with its mask.

    Args:
        objects: Of the solution, boxes in pixels of the mask.
        ids: (H, W), 0 background, 255 not counted.

    Returns:
        What is wrong, such as "the solution has 1 objects, the mask 2"; None if they agree: as
        many ids as objects, and at least half of each object lies in its box, in the order of the
        ids.
    """
    found = [k for k in np.unique(ids).tolist() if k not in (0, IGNORE)]
    if objects and not found:
        return f"the mask is empty, the solution has {len(objects)} objects"
    if len(found) != len(objects):
        return f"the solution has {len(objects)} objects, the mask {len(found)}"
    for number, (k, item) in enumerate(zip(found, objects, strict=True), start=1):
        if item.box is None:
            continue
        inside = int((_crop(ids, item.box) == k).sum())
        if not inside:
            return f"the mask has no pixel of object {number} in its box"
        if 2 * inside < int((ids == k).sum()):
            return f"most of the mask of object {number} lies outside its box: is it in pixels?"
    return None


def _crop(ids: NDArray, box: Box) -> NDArray:
    """The pixels that a box touches, with a margin for rounding."""
    left, top = max(int(box.x1) - 1, 0), max(int(box.y1) - 1, 0)
    return ids[top : max(int(box.y2), 0) + 3, left : max(int(box.x2), 0) + 3]


def _indices(mask: Image.Image) -> tuple[NDArray, bool]:
    """(H, W) indices of a palette picture, or its shades; and whether it is these.

    Programs that reduce colours order a palette as they like. It shows where black, the background,
    isn't the first colour.
    """
    pixels = np.asarray(mask)
    indices = pixels[..., 0] if pixels.ndim == 3 else pixels
    palette = np.zeros((256, 3), np.uint8)
    stored = np.array(mask.getpalette() or [], np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    used = np.unique(indices)
    colours = palette[used]
    is_black = ~colours.any(-1)
    if not is_black.any() or (is_black[0] and used[0] == 0):
        return indices, False
    if (colours != colours[:, :1]).any():
        reason = "its palette is in no order: black, the background, isn't its first colour"
        raise Unusable("malformed mask", f"{reason}; store numbers in place of colours")
    return palette[indices, 0], True


def _white_at(picture: Image.Image, index: int) -> bool:
    """Whether a palette has white at this index and black at 0."""
    palette = picture.getpalette() or []
    white = palette[3 * index : 3 * index + 3]
    return palette[:3] == [0, 0, 0] and len(white) == 3 and set(white) == {255}


def _grey(mask: Image.Image, lossy: bool) -> NDArray:
    """(H, W) whole numbers; transparent pixels are 0."""
    if mask.mode in ("CMYK", "YCbCr", "RGBX", "HSV", "LAB"):
        mask = mask.convert("RGB")
    pixels = np.asarray(mask)
    if pixels.ndim == 3:
        return _one_channel(pixels, lossy, has_alpha=mask.mode in ("LA", "La", "RGBA", "RGBa"))
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or (pixels != np.round(pixels)).any():
            raise Unusable("malformed mask", "its values aren't whole numbers")
        pixels = pixels.astype(np.int64)
    return pixels


def _one_channel(pixels: NDArray, lossy: bool, has_alpha: bool) -> NDArray:
    """(H, W) of (H, W, C) with equal colours."""
    colours = pixels.shape[2] - has_alpha
    grey = pixels[..., 0]
    spread = pixels[..., :colours].max(-1) - pixels[..., :colours].min(-1)
    if spread.max() > (_LOSSY_GREY if lossy else 0):
        raise Unusable("malformed mask", "it is in colour: one number a pixel is meant")
    if colours == pixels.shape[2]:
        return grey
    alpha = pixels[..., -1]
    if alpha.min() == alpha.max():
        return grey
    visible = alpha > 0
    if (grey[visible] == grey[visible][0]).all():
        return alpha  # an object of one shade: the transparency is the mask
    if set(np.unique(alpha).tolist()) - {0, int(alpha.max())}:
        raise Unusable("malformed mask", "it is partly transparent: one number a pixel is meant")
    return np.where(visible, grey, 0)


def _black_and_white(raw: Raw, middle: NDArray, white: int, exact: bool) -> Ids:
    """The object of a mask with soft edges; raises Unusable if an area is grey."""
    bright, dark = white - white // 8, white // 8
    areas = _areas((raw > dark) & (raw < bright))
    # Ids are almost black beside white.
    low = _areas((raw <= dark) & (raw != np.bincount(raw.ravel()).argmax()))
    if not exact:  # what compression adds lies near an edge
        low &= cv2.dilate((raw > dark).astype(np.uint8), np.ones((2 * _NEAR + 1,) * 2)) == 0
    if areas.any() or low.any() or raw.max() < bright:
        reason = f"not a mask of ids: {len(middle)} values, soft edges"
        raise Unusable("malformed mask", f"{reason}; store it as PNG, resized to the nearest pixel")
    return (raw > white // 2).astype(np.int32)


def _areas(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is too wide for a soft edge."""
    return cv2.erode(where.astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8)) > 0
