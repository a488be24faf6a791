"""Compressed images: sizes before pixels, and the colours that the publisher meant."""

import io
import resource
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage

from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.images.conversions import ConversionError

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = RGB[..., :1]
BLUE_FIRST = RGB[..., ::-1]
GRAY_AS_RGB = GRAY.repeat(3, axis=2)


def compressed(pixels: NDArray, suffix: str, form: str) -> CompressedImage:
    image = CompressedImage(format=form)
    image.data.frombytes(cv2.imencode(suffix, pixels)[1].tobytes())
    return image


def test_png_decodes_to_the_same_pixels() -> None:
    image = compressed(BLUE_FIRST, ".png", "rgb8; png compressed bgr8")
    np.testing.assert_array_equal(compressed_to_rgb(image), RGB)


def test_jpeg_decodes_to_similar_pixels() -> None:
    colour = np.tile(np.array([200, 120, 40], np.uint8), (16, 16, 1))
    image = compressed(colour[..., ::-1], ".jpg", "rgb8; jpeg compressed bgr8")
    np.testing.assert_allclose(compressed_to_rgb(image).astype(int), colour, atol=3)


def test_gray_png_decodes_to_gray() -> None:
    image = compressed(GRAY, ".png", "mono8; png compressed ")
    np.testing.assert_array_equal(compressed_to_rgb(image), GRAY_AS_RGB)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 half a JPEG"])
def test_undecodable_data_is_named(data: bytes) -> None:
    image = CompressedImage(format="jpeg")
    image.data.frombytes(data)
    with pytest.raises(ConversionError, match=rf"{len(data)} bytes.*don't decode"):
        compressed_to_rgb(image)


def test_compressed_depth_is_not_taken_for_a_picture() -> None:
    image = compressed(GRAY, ".png", "16UC1; compressedDepth png")
    with pytest.raises(ConversionError, match="colour camera"):
        compressed_to_rgb(image)


def mosaic(pattern: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture (H, W, 3) and what a sensor with a Bayer pattern sees of it (H, W)."""
    v, u = np.mgrid[:64, :96].astype(np.float32)
    rgb = np.stack([40 + u, 200 - v, 90 + (u + v) / 4], axis=2).astype(np.uint8)
    rgb[20:50, 30:70] = 200, 60, 30
    sensor = np.empty(rgb.shape[:2], np.uint8)
    for index, letter in enumerate(pattern.upper()):
        row, column = divmod(index, 2)
        sensor[row::2, column::2] = rgb[row::2, column::2, "RGB".index(letter)]
    return rgb, sensor


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_gives_its_colours(pattern: str, suffix: str) -> None:
    rgb, sensor = mosaic(pattern)
    if suffix == ".webp":  # the format has no gray pictures
        sensor = sensor[..., None].repeat(3, axis=2)
    image = compressed(sensor, suffix, f"bayer_{pattern}8; {suffix[1:]} compressed ")
    off = np.abs(compressed_to_rgb(image).astype(int) - rgb)
    assert np.median(off) <= 4


def test_a_mosaic_of_16_bits_gives_its_colours() -> None:
    rgb, sensor = mosaic("rggb")
    wide = sensor.astype(np.uint16) * 257
    image = compressed(wide, ".png", "bayer_rggb16; png compressed ")
    assert np.median(np.abs(compressed_to_rgb(image).astype(int) - rgb)) <= 1


def test_colours_that_the_publisher_computed_stay() -> None:
    image = compressed(BLUE_FIRST, ".png", "bayer_rggb8; png compressed bgr8")
    np.testing.assert_array_equal(compressed_to_rgb(image), RGB)


def written(form: str, width: int, height: int) -> bytes:
    """An empty picture of a file format of Pillow's."""
    file = io.BytesIO()
    Picture.new("L", (width, height)).save(file, form)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 30000x30000 pixels in about 100 kB, without ever holding its pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = 30000
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + size // 8)) for _ in range(size)) + packer.flush()
    head = size.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_a_picture_with_too_many_pixels_is_refused(form: str) -> None:
    image = CompressedImage(format="jpeg")
    image.data.frombytes(written(form, 80, 60))
    assert compressed_to_rgb(image, max_pixels=4800).shape == (60, 80, 3)
    with pytest.raises(ConversionError, match="80×60 pixels, more than max_pixels allows"):
        compressed_to_rgb(image, max_pixels=4799)


def test_a_small_file_of_a_huge_picture_is_refused_before_it_takes_memory() -> None:
    image = CompressedImage(format="rgb8; png compressed bgr8")
    image.data.frombytes(bomb())
    assert len(image.data) < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConversionError, match="too large"):
        compressed_to_rgb(image)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
