"""Pictures as strangers' files have them: read right, or refused in one line."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzero.errors import BadImage
from segzero.pictures import MAX_PIXELS, WRITTEN, check_writable, read_picture, write_picture

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
RGB[:3] //= 4  # so that up differs from down


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    """Stored so that EXIF has to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 2: Image.Transpose(0)}
    return encoded(Image.fromarray(RGB).transpose(undo[orientation]), "PNG", exif=exif)


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(RGB), Image.new("RGB", (9, 6))]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def sixteen(kind: str) -> bytes:
    return encoded(Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), kind)


def palette(transparent: bool) -> bytes:
    picture = Image.fromarray(RGB // 128 * 255).quantize(8)
    return encoded(picture, "PNG", **({"transparency": 3} if transparent else {}))


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


GREY = np.repeat(RGB[..., :1], 3, axis=2)
COLOURS = RGB // 128 * 255


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(lambda: encoded(Image.fromarray(RGB), "PNG"), RGB, id="png"),
        pytest.param(lambda: encoded(Image.fromarray(RGB), "BMP"), RGB, id="bmp"),
        pytest.param(lambda: encoded(Image.fromarray(RGB), "TIFF"), RGB, id="tiff"),
        pytest.param(lambda: turned(3), RGB, id="exif 3"),
        pytest.param(lambda: turned(6), RGB, id="exif 6"),
        pytest.param(lambda: turned(2), RGB, id="exif 2"),
        pytest.param(lambda: animated("PNG"), RGB, id="animated png"),
        pytest.param(lambda: animated("WEBP"), RGB, id="animated webp"),
        pytest.param(lambda: animated("TIFF"), RGB, id="pages"),
        pytest.param(lambda: sixteen("PNG"), GREY, id="16 bits"),
        pytest.param(lambda: sixteen("TIFF"), GREY, id="16 bits in tiff"),
        pytest.param(lambda: palette(False), COLOURS, id="palette"),
        pytest.param(lambda: palette(True), COLOURS, id="palette with transparency"),
        pytest.param(
            lambda: encoded(Image.fromarray(np.dstack([RGB, RGB[..., :1]])), "PNG"),
            RGB,
            id="transparency",
        ),
        pytest.param(
            lambda: encoded(Image.fromarray(RGB[..., 0] > 99), "PNG"),
            np.repeat((RGB[..., :1] > 99) * np.uint8(255), 3, axis=2),
            id="two levels",
        ),
        pytest.param(
            lambda: encoded(Image.new("CMYK", (9, 6), (0, 255, 255, 0)), "TIFF"),
            np.full((6, 9, 3), (255, 0, 0), np.uint8),
            id="cmyk",
        ),
    ],
)
def test_a_picture_is_read_as_it_is_meant(
    tmp_path: Path,
    content: Callable[[], bytes],
    expected: np.ndarray,
    recwarn: pytest.WarningsRecorder,
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(content())
    assert np.array_equal(read_picture(file), expected)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(lambda: b"", "no known format", id="empty"),
        pytest.param(lambda: b"GIF89a" + bytes(30), "can't be used", id="junk"),
        pytest.param(lambda: encoded(Image.fromarray(RGB), "PNG")[:-90], "truncated", id="png"),
        pytest.param(lambda: encoded(Image.fromarray(RGB), "JPEG")[:-30], "truncated", id="jpeg"),
        pytest.param(lambda: encoded(Image.fromarray(RGB), "TIFF")[:99], "can't be", id="tiff"),
        pytest.param(lambda: claiming(60_000, 60_000), "3600000000 pixels|60000x60000", id="bomb"),
        pytest.param(
            lambda: claiming(10_000, 9_000), f"10000x9000 pixels, at most {MAX_PIXELS}", id="large"
        ),
        pytest.param(
            lambda: encoded(Image.new("F", (9, 6)), "TIFF"), "more than 16 bits", id="floats"
        ),
    ],
)
def test_what_is_no_whole_picture_is_refused(
    tmp_path: Path, content: Callable[[], bytes], message: str, recwarn: pytest.WarningsRecorder
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(content())
    with pytest.raises(BadImage, match=message) as caught:
        read_picture(file)
    assert str(file) in str(caught.value)
    assert not recwarn.list


@pytest.mark.parametrize("path", ["absent.png", ".", "/dev/zero", "a" * 300], ids=str)
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(BadImage, match="can't read"):
        read_picture(Path(path))


@pytest.mark.parametrize("suffix", [*WRITTEN, ".PNG"])
def test_a_picture_is_written_in_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"overlay{suffix}"
    check_writable(file)
    write_picture(file, RGB)
    with Image.open(file) as written:
        kind = suffix.removeprefix(".").upper()
        assert written.format == {"JPG": "JPEG", "TIF": "TIFF"}.get(kind, kind)
    if suffix not in (".jpg", ".jpeg", ".webp"):
        assert np.array_equal(read_picture(file), RGB)


@pytest.mark.parametrize(
    ("suffix", "size"), [(".webp", (16_384, 5)), (".WEBP", (5, 20_000)), (".jpg", (65_501, 5))]
)
def test_a_picture_too_long_for_its_format_is_told_before(
    tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    with pytest.raises(OSError, match=f"{size[0]}x{size[1]} pixels are too many.*name a .png"):
        check_writable(tmp_path / f"overlay{suffix}", size)


@pytest.mark.parametrize("name", ["a\0b.png", "a\ud800.png"])
def test_a_name_that_no_file_has_is_told(name: str) -> None:
    with pytest.raises(BadImage, match="no file has that name"):
        read_picture(Path(name))
