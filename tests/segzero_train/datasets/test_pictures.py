"""One reader of pictures: prepared, trained on and evaluated, a picture has the same pixels."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from segzero.pictures import MAX_PIXELS
from segzero_train.datasets.columns import row_image
from segzero_train.datasets.pictures import open_picture
from segzero_train.datasets.skipped import Unusable
from segzero_train.errors import BadData
from tests.segzero_train.original_files import filled, noise, rows, run, save, skipped


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str, size: tuple[int, int] = (48, 48)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(noise(size), kind, exif=exif)


def prepared(data: bytes, folder: Path) -> np.ndarray:
    """The picture as `prepare folder` stores it."""
    with Image.open(io.BytesIO(data)) as picture:
        width, height = ImageOps.exif_transpose(picture).size
    (folder / "masks").mkdir()
    (folder / "a.bin").write_bytes(data)
    mask = filled(5, 5, 10, 10, (width, height))
    Image.fromarray(mask.astype("u1")).save(folder / "masks/a.png")
    (folder / "questions.jsonl").write_text(json.dumps({"image": "a.bin", "text": "it"}))
    command = ("folder", "--source", folder, "--out", folder / "out", "--size", "original")
    assert run(*command, "--workers", 1) == 0
    return np.asarray(rows(folder / "out")[0]["image"])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_row_is_turned_as_prepare_turns_it(tmp_path: Path, kind: str, orientation: int) -> None:
    data = turned(orientation, kind)
    read = row_image({"id": "a", "image": {"bytes": data, "path": None}})
    assert np.array_equal(read, prepared(data, tmp_path))
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert np.array_equal(read, expected)
    lying = row_image({"id": "a", "image": turned(1, kind)})
    assert np.array_equal(read, lying) == (orientation == 1)


@pytest.mark.parametrize("how", ["bytes", "file", "decoded", "plain bytes"])
def test_a_picture_is_turned_however_a_row_holds_it(tmp_path: Path, how: str) -> None:
    data = turned(6, "JPEG", (60, 40))
    (tmp_path / "a.jpg").write_bytes(data)
    image: Any = {
        "bytes": {"bytes": data, "path": None},
        "file": {"bytes": None, "path": str(tmp_path / "a.jpg")},
        "decoded": Image.open(io.BytesIO(data)),
        "plain bytes": data,
    }[how]
    assert row_image({"id": "a", "image": image}).shape == (60, 40, 3)


def test_damaged_exif_data_turns_nothing() -> None:
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03")
    assert row_image({"id": "a", "image": data}).shape == (40, 60, 3)


MODES: dict[str, bytes] = {
    "palette": encoded(noise().quantize(64)),
    "transparent palette": encoded(noise().quantize(64), transparency=0),
    "grey": encoded(noise().convert("L")),
    "grey with alpha": encoded(noise().convert("LA")),
    "alpha": encoded(noise().convert("RGBA")),
    "black and white": encoded(noise().convert("1")),
    "CMYK": encoded(noise().convert("CMYK"), "JPEG"),
    "YCbCr": encoded(noise().convert("YCbCr"), "JPEG"),
    "GIF": encoded(noise(), "GIF"),
    "frames": encoded(noise(), "GIF", save_all=True, append_images=[noise(seed=1)]),
    "pages": encoded(noise(), "TIFF", save_all=True, append_images=[noise(seed=1)]),
}


@pytest.mark.parametrize("kind", MODES)
def test_other_kinds_become_rgb_alike_in_a_row_and_in_prepare(tmp_path: Path, kind: str) -> None:
    read = row_image({"id": "a", "image": MODES[kind]})
    assert read.dtype == np.uint8
    assert np.array_equal(read, prepared(MODES[kind], tmp_path))
    with Image.open(io.BytesIO(MODES[kind])) as first:
        assert np.array_equal(read, np.asarray(first.convert("RGB")))


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


BAD: dict[str, tuple[bytes, str]] = {
    "60000 x 60000": (claiming(60_000, 60_000), "3600000000 pixels|60000x60000 pixels"),
    "a little too large": (claiming(10_000, 9_000), f"10000x9000 pixels, at most {MAX_PIXELS}"),
    "a long line": (claiming(2**31 - 1, 1), "pixels"),
    "a large BMP": (bmp(50_000, 50_000), "pixels"),
    "16 bits": (encoded(Image.fromarray(np.zeros((40, 60), np.uint16))), "8 bits"),
    "floats": (encoded(Image.fromarray(np.zeros((40, 60), np.float32)), "TIFF"), "8 bits"),
    "cut off": (encoded(noise())[:500], "."),
    "fewer pixels than claimed": (claiming(600, 400), "."),
    "text": (b"<html>not found</html>", "no known format"),
    "nothing": (b"", "no known format"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_can_not_be_read_is_one_line_that_names_the_row(kind: str) -> None:
    data, message = BAD[kind]
    with pytest.raises(BadData, match=f"row a-7: the image can't be decoded: .*({message})") as it:
        row_image({"id": "a-7", "image": {"bytes": data, "path": None}})
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("value", [{"bytes": None, "path": None}, None, 7, "a.png", {}])
def test_a_row_without_a_picture_is_named(value: Any) -> None:
    with pytest.raises(BadData, match="row a-7: the image"):
        row_image({"id": "a-7", "image": value})


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_file_that_claims_a_huge_size_is_skipped_by_prepare(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    save(Image.fromarray(filled(5, 5, 9, 9).astype("u1")), tmp_path / "masks/a.png")
    lines = [{"image": f"{name}.png", "mask": "masks/a.png", "text": name} for name in "ab"]
    (tmp_path / "b.png").write_bytes(claiming(60_000, 60_000))
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    assert run("folder", "--source", tmp_path, "--out", out, "--workers", 1) == 0
    assert skipped(out) == {"line-2": "corrupt image"}


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_missing_file_is_named(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(Unusable, match=f"missing {kind}"):
        open_picture(tmp_path / "none.png", kind)
