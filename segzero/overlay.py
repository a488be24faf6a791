"""A picture of a result for people: frame, masks, boxes, points, ids, and the question below."""

import colorsys
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segzero.types import Segmentation, SegmentedObject

_OPACITY = 0.45
_MAX_LINES = 3
_INK, _PAPER = (255, 255, 255), (24, 24, 24)
# Tried in order; they cover more scripts than Pillow's own font, which is always there.
_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf")

Colour = tuple[int, int, int]


def draw(image: NDArray[np.uint8], segmentation: Segmentation) -> NDArray[np.uint8]:
    """The image with every object drawn in its own colour, above a strip with the question.

    image: (H, W, 3) uint8 RGB, the one that the segmentation is of.
    Returns (H', W, 3) uint8 with H' > H. Characters that no font here has come out as boxes.
    """
    height, width = image.shape[:2]
    size = max(11, width // 40)
    font = _font(size)
    lines = list(_wrap(segmentation.question, font, width - size))
    strip = size // 2 + len(lines) * (size + size // 4) + size // 2
    canvas = Image.new("RGB", (width, height + strip), _PAPER)
    canvas.paste(Image.fromarray(_blend(image, segmentation)))
    pen = ImageDraw.Draw(canvas)
    for item in segmentation.objects:
        _draw_object(pen, item, font, size)
    for number, line in enumerate(lines):
        place = (size // 2, height + size // 2 + number * (size + size // 4))
        pen.text(place, line, fill=_INK, font=font)
    return np.array(canvas)


def colour(object_id: int) -> Colour:
    """RGB of an object; hues a golden angle apart, so that neighbouring ids differ most."""
    red, green, blue = colorsys.hsv_to_rgb(object_id * 0.618034 % 1.0, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _blend(image: NDArray[np.uint8], segmentation: Segmentation) -> NDArray[np.uint8]:
    ids = segmentation.mask()
    palette = np.array([colour(number) for number in range(256)], np.float32)
    blended = image.copy()
    inside = ids > 0
    mixed = (1 - _OPACITY) * image[inside] + _OPACITY * palette[ids[inside]]
    blended[inside] = mixed.round().astype(np.uint8)
    return blended


def _draw_object(
    pen: ImageDraw.ImageDraw, item: SegmentedObject, font: ImageFont.ImageFont, size: int
) -> None:
    shade = colour(item.id)
    line = max(1, size // 8)
    box = item.box
    pen.rectangle((box.x1, box.y1, box.x2 - 1, box.y2 - 1), outline=shade, width=line)
    radius = 2 * line
    for point in item.points:
        around = (point.x - radius, point.y - radius, point.x + radius, point.y + radius)
        pen.ellipse(around, fill=shade, outline=_INK)
    label = str(item.id)
    left, top = box.x1, max(0.0, box.y1 - size)
    tag = pen.textbbox((left, top), label, font=font)
    pen.rectangle((tag[0] - 1, tag[1] - 1, tag[2] + 1, tag[3] + 1), fill=shade)
    pen.text((left, top), label, fill=_PAPER, font=font)


def _wrap(text: str, font: ImageFont.ImageFont, width: int) -> Iterator[str]:
    """Lines of at most `width` pixels, broken at blanks if there are any; "…" marks a cut."""
    text = "".join(character if character.isprintable() else " " for character in text)
    for number in range(_MAX_LINES):
        if not text:
            return
        fitting = _fitting(text, font, width)
        if fitting == len(text):
            yield text
            return
        if number == _MAX_LINES - 1:
            yield text[: max(1, fitting - 1)] + "…"
            return
        at = text.rfind(" ", 1, fitting + 1)
        cut = at if at > 0 else max(1, fitting)
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()


def _fitting(text: str, font: ImageFont.ImageFont, width: int) -> int:
    """How many leading characters fit into `width` pixels."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont:
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)  # type: ignore[return-value]
        except OSError:
            continue
    return ImageFont.load_default(size)  # type: ignore[return-value]
