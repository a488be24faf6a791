"""One reader of masks: every kind of file is read as the same ids, or refused."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets.columns import row_mask, row_to_sample
from segzero_train.datasets.masks import disagreement, mask_image, mask_png, read_mask
from segzero_train.datasets.skipped import Unusable
from segzero_train.errors import BadData
from tests.segzero_train.original_files import SIZE, filled, noise

BALL, BOX = filled(5, 5, 10, 20), filled(30, 8, 20, 12)
WIDE = (120, 90)
SQUARE = filled(40, 30, 30, 30, WIDE)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(mask: np.ndarray, white: int = 255) -> Image.Image:
    return Image.fromarray((mask * white).astype(np.uint8 if white < 256 else np.uint16))


def grey_palette(mask: np.ndarray) -> Image.Image:
    picture = grey(mask)
    picture.putpalette([shade for shade in range(256) for _ in range(3)])
    return picture


def transparent(mask: np.ndarray) -> Image.Image:
    """A white object on transparent white."""
    picture = Image.new("RGBA", (mask.shape[1], mask.shape[0]), (255, 255, 255, 255))
    picture.putalpha(grey(mask))
    return picture


TWO_LEVELS: dict[str, Callable[[], bytes]] = {
    "0 and 255": lambda: encoded(grey(BALL)),
    "0 and 1": lambda: encoded(grey(BALL, 1)),
    "mode 1": lambda: encoded(grey(BALL).convert("1")),
    "16 bits": lambda: encoded(grey(BALL, 65535)),
    "16 bits of 0 and 255": lambda: encoded(Image.fromarray((BALL * 255).astype(np.uint16))),
    "grey RGB": lambda: encoded(grey(BALL).convert("RGB")),
    "grey RGBA": lambda: encoded(grey(BALL).convert("RGBA")),
    "grey with alpha": lambda: encoded(grey(BALL).convert("LA")),
    "white on transparency": lambda: encoded(transparent(BALL)),
    "a palette of greys": lambda: encoded(grey_palette(BALL)),
    "BMP": lambda: encoded(grey(BALL), "BMP"),
    "TIFF": lambda: encoded(grey(BALL), "TIFF"),
    "GIF": lambda: encoded(grey(BALL), "GIF"),
    "a JPEG of RGB": lambda: encoded(grey(BALL).convert("RGB"), "JPEG", quality=90),
    "a JPEG of CMYK": lambda: encoded(grey(BALL).convert("RGB").convert("CMYK"), "JPEG"),
    "lossy WebP": lambda: encoded(grey(BALL).convert("RGB"), "WEBP", quality=60),
    "AVIF": lambda: encoded(grey(BALL).convert("RGB"), "AVIF", quality=60),
    "JPEG in TIFF": lambda: encoded(grey(BALL), "TIFF", compression="jpeg"),
    # What reduces colours puts any of them first.
    "a GIF of RGB": lambda: encoded(grey(BALL).convert("RGB"), "GIF"),
    "two quantized colours": lambda: encoded(grey(BALL).quantize(2)),
    "a palette of white, black": lambda: encoded(coloured(~BALL, [255] * 3 + [0] * 3)),
    "2 bits": lambda: png(BALL * 3, 2),
    "16 bits a channel": lambda: deep(BALL * 65535),
}


def coloured(indices: np.ndarray, palette: list[int]) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8))
    picture.putpalette(palette)
    return picture


def png(values: np.ndarray, bits: int, channels: int = 1) -> bytes:
    """Of any depth: 1, 2, 4 or 16 bits a sample. Two channels are grey and an opaque one."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    height, width = values.shape
    samples = [values.astype(np.int64), *[np.full(values.shape, 2**bits - 1)] * (channels - 1)]
    shifts = np.arange(bits - 1, -1, -1)
    unpacked = (np.stack(samples, -1)[..., None] >> shifts & 1).reshape(height, -1)
    packed = np.packbits(unpacked.astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 2: 4}[channels], 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def deep(values: np.ndarray, kind: str = ".png") -> bytes:
    """Three equal channels of 16 bits."""
    return cv2.imencode(kind, np.dstack([values.astype(np.uint16)] * 3))[1].tobytes()


def pgm(values: np.ndarray, largest: int) -> bytes:
    size = f"{values.shape[1]} {values.shape[0]} # of a scanner\n{largest}\n"
    return f"P5 {size}".encode() + values.astype(">u2" if largest > 255 else "u1").tobytes()


@pytest.mark.parametrize("kind", TWO_LEVELS)
def test_white_is_the_object_of_a_mask_of_two_levels(kind: str) -> None:
    ids = read_mask(TWO_LEVELS[kind]())
    assert np.array_equal(ids, BALL)


@pytest.mark.parametrize("mask", [np.zeros_like(BALL), np.ones_like(BALL)])
def test_all_black_is_nothing_and_all_white_is_everything(mask: np.ndarray) -> None:
    assert np.array_equal(read_mask(encoded(grey(mask))), mask)


def voc(ids: np.ndarray) -> Image.Image:
    """A palette mask as PASCAL VOC stores it: index 255 is drawn light, not white."""
    picture = Image.fromarray(ids.astype(np.uint8))
    colours = np.random.default_rng(0).integers(1, 250, (256, 3))
    colours[0], colours[255] = 0, (224, 224, 192)
    picture.putpalette(colours.ravel().tolist())
    return picture


IDS = (BALL + 2 * BOX + 255 * filled(0, 35, 60, 5)).astype(np.uint8)
OF_IDS: dict[str, Callable[[], bytes]] = {
    "grey": lambda: encoded(Image.fromarray(IDS)),
    "palette": lambda: encoded(voc(IDS)),
    "16 bits": lambda: encoded(Image.fromarray(IDS.astype(np.uint16))),
    "16 bits, white not counted": lambda: encoded(
        Image.fromarray(np.where(IDS == 255, 65535, IDS).astype(np.uint16))
    ),
    "32 bits": lambda: encoded(Image.fromarray(IDS.astype(np.int32)), "TIFF"),
    "grey RGB": lambda: encoded(Image.fromarray(IDS).convert("RGB")),
    "grey with alpha": lambda: encoded(Image.fromarray(IDS).convert("LA")),
    "lossless WebP": lambda: encoded(Image.fromarray(IDS).convert("RGB"), "WEBP", lossless=True),
}
FEW = (BALL + 2 * BOX).astype(np.uint8)
# Pillow stretches the numbers of some files to 8 or 16 bits, or cuts them.
STRETCHED: dict[str, Callable[[], bytes]] = {
    "2 bits": lambda: png(FEW, 2),
    "4 bits": lambda: png(FEW, 4),
    "a PGM up to 2": lambda: pgm(FEW, 2),
    "a PGM up to 7": lambda: pgm(FEW, 7),
    "a PGM up to 1000": lambda: pgm(FEW, 1000),
    "16 bits a channel": lambda: deep(FEW),
    "PPM of 16 bits": lambda: deep(FEW, ".ppm"),
    "16 bits and alpha": lambda: png(FEW, 16, channels=2),
    "a palette of greys in any order": lambda: encoded(
        coloured(2 - FEW, [shade for k in (2, 1, 0) for shade in (k, k, k)])
    ),
}


@pytest.mark.parametrize("kind", STRETCHED)
def test_ids_are_the_numbers_that_were_stored(kind: str) -> None:
    assert np.array_equal(read_mask(STRETCHED[kind]()), FEW)


@pytest.mark.parametrize("kind", OF_IDS)
def test_ids_are_read_by_number_and_255_is_not_counted(kind: str) -> None:
    assert np.array_equal(read_mask(OF_IDS[kind]()), IDS)


def test_a_palette_of_few_colours_is_read_by_index() -> None:
    picture = Image.fromarray(IDS % 255)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert np.array_equal(read_mask(encoded(picture)), IDS % 255)


def test_void_of_a_palette_mask_is_no_object() -> None:
    assert not (read_mask(encoded(voc(255 * BALL))) % 255).any()


def thin() -> np.ndarray:
    """Three lines of a pixel, beside the background only: nothing of them is an edge."""
    lines = [filled(5 + 8 * k, 5, 1, 20) * value for k, value in enumerate((7, 90, 200))]
    return np.sum(lines, axis=0).astype(np.uint8)


def nested() -> np.ndarray:
    """A button on the border of a shirt, with ids of 1 to 2."""
    ids = (2 * BOX).astype(np.uint8)
    ids[8:10, 36:38] = 1
    return ids


@pytest.mark.parametrize("ids", [thin(), nested(), np.where(BALL, 17, 0) + np.where(BOX, 203, 0)])
def test_ids_with_gaps_and_small_objects_are_no_soft_edges(ids: np.ndarray) -> None:
    assert np.array_equal(read_mask(encoded(Image.fromarray(ids.astype(np.uint8)))), ids)


def resized(mask: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    return grey(mask).resize(size, how).resize((mask.shape[1], mask.shape[0]), how)


BLENDED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "OpenCV's default, halved": lambda ids: cv2.resize(ids, (64, 48)),
    "OpenCV's default, enlarged": lambda ids: cv2.resize(ids, (840, 840)),
    "enlarged three times": lambda ids: cv2.resize(ids, None, fx=3, fy=3),
    "enlarged ten times": lambda ids: cv2.resize(ids, None, fx=10, fy=10),
    "by area": lambda ids: cv2.resize(ids, (77, 53), interpolation=cv2.INTER_AREA),
    "bicubic": lambda ids: cv2.resize(ids, (170, 131), interpolation=cv2.INTER_CUBIC),
    "Pillow's bilinear": lambda ids: np.asarray(
        Image.fromarray(ids).resize((70, 55), Image.Resampling.BILINEAR)
    ),
}


def scattered(void: int) -> np.ndarray:
    """Four objects, one of them on another, and perhaps pixels that don't count."""
    ids = np.zeros((100, 130), np.uint8)
    for k, (x, y) in enumerate([(25, 30), (70, 24), (40, 70), (78, 30)], start=1):
        cv2.ellipse(ids, (x, y), (19, 11), 20 * k, 0, 360, (k,), -1)
    ids[88:, 90:] = void
    return ids


@pytest.mark.parametrize("void", [0, 255])
@pytest.mark.parametrize("how", BLENDED)
def test_ids_resized_by_a_blend_are_refused(how: str, void: int) -> None:
    ids = scattered(void)
    assert np.array_equal(read_mask(encoded(Image.fromarray(ids))), ids)
    with pytest.raises(Unusable, match="to the nearest pixel"):
        read_mask(encoded(Image.fromarray(BLENDED[how](ids))))


def smooth(mask: np.ndarray) -> Image.Image:
    pixels = np.zeros(mask.shape, np.uint8)
    cv2.circle(pixels, (50, 45), 20, (255,), -1, cv2.LINE_AA)
    return Image.fromarray(pixels)


SOFT: dict[str, Callable[[], bytes]] = {
    "bilinear, down and up": lambda: encoded(resized(SQUARE, (47, 35), Image.Resampling.BILINEAR)),
    "bicubic": lambda: encoded(resized(SQUARE, (70, 50), Image.Resampling.BICUBIC)),
    "a JPEG": lambda: encoded(grey(SQUARE), "JPEG", quality=75),
    "a JPEG of low quality": lambda: encoded(grey(SQUARE), "JPEG", quality=20),
    "a blur": lambda: encoded(grey(SQUARE).filter(ImageFilter.GaussianBlur(2))),
    "antialiased": lambda: encoded(smooth(SQUARE)),
    "a soft alpha": lambda: encoded(
        white_with(resized(SQUARE, (47, 35), Image.Resampling.BILINEAR))
    ),
}


def white_with(alpha: Image.Image) -> Image.Image:
    picture = Image.new("RGBA", alpha.size, (255, 255, 255, 255))
    picture.putalpha(alpha)
    return picture


@pytest.mark.parametrize("kind", SOFT)
def test_black_and_white_with_soft_edges_is_one_object(kind: str) -> None:
    ids = read_mask(SOFT[kind]())
    assert set(np.unique(ids).tolist()) == {0, 1}
    core = filled(46, 36, 16, 16, WIDE)
    assert ids[core].all()
    assert not ids[~cv2.dilate(SQUARE.astype(np.uint8), np.ones((21, 21))).astype(bool)].any()


LOSSY: dict[str, dict[str, Any]] = {
    "lossy WebP": {"kind": "WEBP", "quality": 80},
    "AVIF": {"kind": "AVIF", "quality": 80},
    "JPEG in TIFF": {"kind": "TIFF", "compression": "jpeg"},
    "JPEG 2000": {"kind": "JPEG2000"},
}


def few_and_white() -> np.ndarray:
    ids = np.zeros((120, 160), np.uint8)
    ids[20:70, 20:70], ids[30:90, 90:120], ids[100:] = 4, 9, 255
    return ids


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "grey with soft edges": (
        lambda: encoded(grey(SQUARE, 100).resize((47, 35)).resize(WIDE)),
        r"not a mask of ids: \d+ values, soft edges",
    ),
    "ids resized bilinearly": (
        lambda: encoded(Image.fromarray((SQUARE * 90 + 60).astype("u1")).resize((47, 35))),
        r"not a mask of ids: \d+ values, soft edges",
    ),
    "ids as JPEG": (
        lambda: encoded(Image.fromarray(IDS % 255 * 60), "JPEG"),
        r"not a mask of ids: \d+ values, soft edges",
    ),
    "a photograph in grey": (
        lambda: encoded(noise().convert("L")),
        "not a mask of ids: 2[0-9][0-9] values",
    ),
    **{
        f"ids as {name}": (
            partial(encoded, Image.fromarray(FEW * 60), **options),
            r"not a mask of ids: \d+ values, soft edges",
        )
        for name, options in LOSSY.items()
    },
    **{
        f"ids and white as {kind}": (
            partial(encoded, Image.fromarray(few_and_white()), kind, quality=90),
            r"not a mask of ids: \d+ values, soft edges",
        )
        for kind in ("JPEG", "WEBP", "AVIF")
    },
    "reduced colours": (
        lambda: encoded(coloured(2 - FEW, [255, 0, 0, 0, 255, 0, 0, 0, 0])),
        "palette is in no order",
    ),
    "a GIF of colours": (
        lambda: encoded(coloured(FEW, [0, 0, 0, 0, 9, 200, 200, 9, 0]).convert("RGB"), "GIF"),
        "palette is in no order",
    ),
    "channels of 16 bits in TIFF": (lambda: deep(FEW, ".tiff"), "several channels of 16 bits"),
    "a photograph": (lambda: encoded(noise()), "in colour"),
    "colours for ids": (lambda: encoded(voc(IDS).convert("RGB")), "in colour"),
    "several frames": (
        lambda: encoded(grey(BALL), "TIFF", save_all=True, append_images=[grey(BOX)]),
        "2 frames",
    ),
    "shares": (lambda: encoded(Image.fromarray(BALL * np.float32(0.5)), "TIFF"), "whole numbers"),
    "large numbers": (
        lambda: encoded(Image.fromarray(BALL.astype(np.int32) * 70000), "TIFF"),
        "from 0 to 65535",
    ),
    "no picture": (lambda: b"ids: 1 2 3", "no known format"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_mask_of_ids_is_refused(kind: str) -> None:
    made, message = REFUSED[kind]
    with pytest.raises(Unusable) as caught:
        read_mask(made())
    assert caught.value.reason in ("malformed mask", "corrupt mask")
    assert re.search(message, caught.value.detail)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_mask_is_turned_as_its_picture_is(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.rot90(BALL, {3: 2, 6: -1, 8: 1}[orientation])
    assert np.array_equal(read_mask(encoded(grey(BALL), exif=exif)), turned)


@pytest.mark.parametrize("values", [IDS, np.where(IDS == 255, 255, 0).astype("u1"), IDS * 0])
def test_what_the_project_writes_is_read_back_exactly(values: np.ndarray) -> None:
    assert np.array_equal(read_mask(mask_png(values)), values)
    assert np.array_equal(read_mask(mask_image(values)), values)


ITEM = GroundedObject(Box(5, 5, 14, 24), (Point(9, 9),))
OTHER = GroundedObject(Box(30, 8, 49, 19), (Point(40, 12),))
SOLUTIONS = {
    "none": "[]",
    "ball": '[{"bbox_2d": [5, 5, 14, 24], "point_2d": [9, 9]}]',
    "box": '[{"bbox_2d": [30, 8, 49, 19], "point_2d": [40, 12]}]',
    "both": '[{"bbox_2d": [5, 5, 14, 24], "point_2d": [9, 9]},'
    ' {"bbox_2d": [30, 8, 49, 19], "point_2d": [40, 12]}]',
}
VOID = (255 * BALL).astype(np.uint8)


def row(mask: Any, solution: str) -> dict[str, Any]:
    return {
        "id": "r-1",
        "problem": "it",
        "solution": SOLUTIONS.get(solution, solution),
        "image": noise(),
        "mask": mask,
    }


DISAGREE: dict[str, tuple[Any, str, str]] = {
    "two ids, one box": (encoded(Image.fromarray(IDS)), "ball", "1 objects, the mask 2"),
    "one id, two boxes": (encoded(grey(BALL)), "both", "2 objects, the mask 1"),
    "no id, one box": (encoded(grey(BALL * 0)), "ball", "the mask is empty"),
    "only void, one box": (encoded(voc(255 * BALL)), "ball", "the mask is empty"),
    "marked void, one box": (mask_png(VOID), "ball", "the mask is empty"),
    "ids, no box": (encoded(grey(BALL, 1)), "none", "0 objects, the mask 1"),
    "another object": (encoded(grey(BALL)), "box", "no pixel of object 1 in its box"),
    **{
        name: (encoded(grey(BALL)), solution, "most of the mask of object 1 lies outside its box")
        for name, solution in {
            "coordinates of another size": '[{"bbox_2d": [10, 12, 29, 57], "point_2d": [18, 21]}]',
            "a box without area": '[{"bbox_2d": [9, 9, 9, 9], "point_2d": [9, 9]}]',
            "a box beside it": '[{"bbox_2d": [12, 5, 21, 24], "point_2d": [13, 9]}]',
        }.items()
    },
    "ids in another order": (
        encoded(Image.fromarray((2 * BALL + BOX).astype("u1"))),
        "both",
        "object 1",
    ),
    "rows of ids": ((BALL + 2 * BOX).tolist(), "ball", "1 objects, the mask 2"),
}


@pytest.mark.parametrize("kind", DISAGREE)
def test_a_row_whose_mask_and_solution_disagree_is_refused_by_name(kind: str) -> None:
    mask, solution, message = DISAGREE[kind]
    with pytest.raises(BadData, match=f"row r-1: .*{message}"):
        row_to_sample(row(mask, solution))


@pytest.mark.parametrize(
    ("mask", "solution"),
    [
        (encoded(grey(BALL)), "ball"),
        (encoded(Image.fromarray(IDS)), "both"),
        ((BALL + 2 * BOX).tolist(), "both"),
        (BALL.tolist(), "ball"),
        (encoded(grey(BALL * 0)), "none"),
    ],
)
def test_a_row_whose_mask_and_solution_agree_is_asked(mask: Any, solution: str) -> None:
    sample = row_to_sample(row(mask, solution))
    assert len(sample.objects) == len(sample.masks)
    for item, found in zip(sample.objects, sample.masks, strict=True):
        assert np.array_equal(found, BALL if item.box.x1 == 5 else BOX)


def test_255_is_not_counted_where_the_solution_is_empty() -> None:
    sample = row_to_sample(row(encoded(grey(BALL)), "none"))
    assert sample.masks == ()
    assert sample.ignored is not None
    assert np.array_equal(sample.ignored, BALL)


def test_ids_above_255_are_numbered_anew() -> None:
    ids = (300 * BALL + 4000 * BOX).astype(np.uint16)
    found = row_mask({"id": "r", "mask": encoded(Image.fromarray(ids))})
    assert np.array_equal(found, BALL + 2 * BOX)


@pytest.mark.parametrize("mask", [[[1, 2], [3]], [["a"]], [1, 2], "P5", 7, {"counts": [1]}, None])
def test_a_column_that_is_no_mask_is_named(mask: Any) -> None:
    with pytest.raises(BadData, match="row r-1: the mask"):
        row_mask({"id": "r-1", "mask": mask})


def test_disagreement_allows_for_a_pixel_of_rounding() -> None:
    edge = filled(14, 24, 1, 1)
    assert disagreement([GroundedObject(Box(15, 25, 20, 30), (Point(17, 27),))], edge) is None


def test_the_size_of_a_mask_is_that_of_its_picture(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=f"row r-1: the mask is 40x60 pixels, the image {SIZE[0]}x"):
        row_to_sample(row(encoded(grey(BALL.T)), "ball"))


def test_a_mask_whose_next_frame_is_damaged_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "TIFF")
    whole = bytearray(buffer.getvalue())
    start = int.from_bytes(whole[4:8], "little")
    after = start + 2 + 12 * int.from_bytes(whole[start : start + 2], "little")
    whole[after : after + 4] = len(whole).to_bytes(4, "little")  # a directory without entries
    with pytest.raises(Unusable, match="corrupt mask"):
        read_mask(bytes(whole + b"\x00\x00" + bytes(4)))


def trimap(border: int) -> np.ndarray:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 128
    mask[10 + border : 50 - border, 10 + border : 50 - border] = 255
    return mask


def soft_and_enlarged() -> np.ndarray:
    square = Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 6))
    return np.asarray(square.resize((37, 37), Image.Resampling.BILINEAR)).repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize("raw", [trimap(2), trimap(8), trimap(15), soft_and_enlarged()])
def test_a_trimap_or_an_enlarged_soft_mask_is_refused(raw: np.ndarray) -> None:
    with pytest.raises(Unusable, match="grey lies everywhere between black and white"):
        read_mask(encoded(Image.fromarray(raw)))
