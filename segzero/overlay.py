"""A picture of a result for people: masks, boxes and ids on the frame, question and thinking below.

A mask must be visible on any object, so that it is told by luminance and not by hue alone: its
outline is a light line beside a dark one, and its inside is hatched in light and dark.
"""

import colorsys
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segzero.types import Segmentation, SegmentedObject

_OPACITY = 0.2
_HATCH_OPACITY = 0.5
_HATCH_PERIOD = 12
"""Pixels from one hatch line to the next; each is a sixth light and a sixth dark."""
_QUESTION_LINES, _THINKING_LINES = 3, 5
_INK, _DIM_INK, _PAPER = (255, 255, 255), (184, 196, 208), (24, 24, 24)
# Tried in order; they cover more scripts than Pillow's own font, which is always there.
_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf")

Colour = tuple[int, int, int]


def draw(image: NDArray[np.uint8], segmentation: Segmentation) -> NDArray[np.uint8]:
    """Draw every object in its own colour, above a strip with the question and the thinking.

    Characters that no installed font has come out as boxes; long texts are cut with "…".

    Args:
        image: (H, W, 3) uint8 RGB, the image that the segmentation is of.
        segmentation: What was found in it.

    Returns:
        (H', W, 3) uint8 RGB with H' > H; the first H rows are the image.
    """
    height, width = image.shape[:2]
    size = max(11, width // 40)
    font = _font(size)
    room = width - size
    lines = [(line, _INK) for line in _wrap(segmentation.question, font, room, _QUESTION_LINES)]
    thinking = _wrap(segmentation.reasoning, font, room, _THINKING_LINES)
    lines += [(line, _DIM_INK) for line in thinking]
    step = size + size // 4
    canvas = Image.new("RGB", (width, height + len(lines) * step + 2 * (size // 2)), _PAPER)
    canvas.paste(Image.fromarray(_blend(image, segmentation)))
    pen = ImageDraw.Draw(canvas)
    for item in segmentation.objects:
        _draw_object(pen, item, font, size)
    for number, (line, ink) in enumerate(lines):
        pen.text((size // 2, height + size // 2 + number * step), line, fill=ink, font=font)
    return np.array(canvas)


def colour(object_id: int) -> Colour:
    """Return the RGB colour of an object; neighbouring ids lie a golden angle of hue apart."""
    red, green, blue = colorsys.hsv_to_rgb(object_id * 0.618034 % 1.0, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _blend(image: NDArray[np.uint8], segmentation: Segmentation) -> NDArray[np.uint8]:
    ids = segmentation.mask(np.uint16)  # (H, W)
    drawn = image.copy()
    scale = max(1, image.shape[1] // 640)
    for number in np.unique(ids[ids > 0]):
        mask = (ids == number).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        # Room for the outline, which lies around the mask.
        rows = slice(max(0, y - scale), y + height + scale)
        columns = slice(max(0, x - scale), x + width + scale)
        _draw_mask(drawn[rows, columns], mask[rows, columns], colour(int(number)), scale)
    return drawn


def _draw_mask(
    drawn: NDArray[np.uint8], mask: NDArray[np.uint8], shade: Colour, scale: int
) -> None:
    """Draw a mask (h, w) of 0 and 1 into `drawn` (h, w, 3), with lines of `scale` pixels."""
    inside = mask > 0
    sixth = np.add.outer(*map(np.arange, mask.shape)) // (_HATCH_PERIOD * scale // 6) % 6
    tinted = (1 - _OPACITY) * drawn + _OPACITY * np.array(shade, np.float32)
    for part, grey in ((0, 255.0), (1, 0.0)):
        line = sixth == part
        tinted[line] += _HATCH_OPACITY * (grey - tinted[line])
    drawn[inside] = tinted[inside].round()
    kernel = np.ones((3, 3), np.uint8)
    drawn[(cv2.dilate(mask, kernel, iterations=scale) > 0) & ~inside] = 0
    drawn[inside & (cv2.erode(mask, kernel, iterations=scale, borderValue=0) == 0)] = 255


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


def _wrap(text: str, font: ImageFont.ImageFont, width: int, most: int) -> Iterator[str]:
    """Yield up to `most` lines of `width` pixels, broken at blanks if possible; "…" marks a cut."""
    text = "".join(character if character.isprintable() else " " for character in text)
    for number in range(most):
        if not text:
            return
        fitting = _fitting(text, font, width)
        if fitting == len(text):
            yield text
            return
        if number == most - 1:
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
