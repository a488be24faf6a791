"""Depth as image_transport's compressedDepth sends it, written here as its publisher does."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from segzero_ros.depth.compressed_depth import decompress_depth
from segzero_ros.images.conversions import ConversionError

MOST = 10.0
"""Metres that the publisher sends at most."""
SCALE = 100.0 * 101.0
"""Its quantisation, from depth_quantization = 100."""
OFFSET = 1.0 - SCALE / MOST


def scene() -> NDArray[np.uint16]:
    """A sloped table with a box and holes, in millimetres."""
    v, u = np.mgrid[:48, :64]
    depth = 900 + 7 * v + u % 3
    depth[10:20, 20:40] = 650
    depth[30:33, 5:50:3] = 0
    depth[0] = depth[-1, -5:] = 0
    return depth.astype(np.uint16)


def rvl(values: NDArray[np.uint16]) -> bytes:
    """The encoder of the paper, number by number."""
    nibbles: list[int] = []

    def write(value: int) -> None:
        while True:
            nibble, value = value & 7, value >> 3
            nibbles.append(nibble | 8 if value else nibble)
            if not value:
                return

    flat, place, previous = values.ravel().tolist(), 0, 0
    while place < len(flat):
        zeros = place
        while zeros < len(flat) and not flat[zeros]:
            zeros += 1
        others = zeros
        while others < len(flat) and flat[others]:
            others += 1
        write(zeros - place)
        write(others - zeros)
        for value in flat[zeros:others]:
            delta = value - previous
            write((delta << 1) ^ (delta >> 31))
            previous = value
        place = others
    nibbles += [0] * (-len(nibbles) % 8)
    words = np.array(nibbles).reshape(-1, 8) @ (16 ** np.arange(7, -1, -1, dtype=np.int64))
    return struct.pack("<II", values.shape[1], values.shape[0]) + words.astype("<u4").tobytes()


def message(encoding: str, codec: str, values: NDArray[np.uint16]) -> CompressedImage:
    body = rvl(values) if "rvl" in codec else cv2.imencode(".png", values)[1].tobytes()
    image = CompressedImage(format="; ".join(filter(None, (encoding, codec))))
    image.data.frombytes(struct.pack("<iff", 0, SCALE, OFFSET) + body)
    return image


@pytest.mark.parametrize(
    "codec", ["compressedDepth png", "compressedDepth rvl", "compressedDepth", ""]
)
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_millimetres_come_back_exactly(encoding: str, codec: str) -> None:
    depth = decompress_depth(message(encoding, codec, scene()))
    np.testing.assert_array_equal(depth, scene())
    assert depth.dtype == np.uint16


@pytest.mark.parametrize("codec", ["compressedDepth png", "compressedDepth rvl"])
def test_metres_come_back_as_far_as_they_were_quantised(codec: str) -> None:
    metres = np.where(scene(), scene() / 1000, np.nan).astype(np.float32)
    inverse = np.where(metres < MOST, SCALE / metres + OFFSET, 0).astype(np.uint16)
    depth = decompress_depth(message("32FC1", codec, inverse))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, metres, rtol=2e-3)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_rvl_takes_any_values(values: list[int]) -> None:
    depth = np.array([values], np.uint16)
    np.testing.assert_array_equal(
        decompress_depth(message("16UC1", "compressedDepth rvl", depth)), depth
    )


BROKEN = {
    "another encoding": ("rgb8; compressedDepth png", None, "none of 16UC1 and 32FC1"),
    "another codec": ("16UC1; compressedDepth zdepth", None, "neither png nor rvl"),
    "a colour topic": ("jpeg", None, "none of 16UC1"),
    "nothing": ("16UC1; compressedDepth png", 0, "only 0 bytes"),
    "cut PNG": ("16UC1; compressedDepth png", 40, "don't decode"),
    "cut RVL": ("16UC1; compressedDepth rvl", 40, "ends too early|doesn't fit"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_depth_says_why(fault: str) -> None:
    form, size, reason = BROKEN[fault]
    image = message("16UC1", form.partition("; ")[2], scene())
    image.format = form
    image.data = image.data[:size]
    with pytest.raises(ConversionError, match=reason):
        decompress_depth(image)


@pytest.mark.parametrize("codec", ["compressedDepth png", "compressedDepth rvl"])
def test_too_many_pixels_are_refused(codec: str) -> None:
    with pytest.raises(ConversionError, match="64×48 pixels, more than max_pixels"):
        decompress_depth(message("16UC1", codec, scene()), max_pixels=64 * 48 - 1)


def test_colour_behind_the_header_is_refused() -> None:
    image = CompressedImage(format="16UC1; compressedDepth png")
    picture = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1]
    image.data.frombytes(bytes(12) + picture.tobytes())
    with pytest.raises(ConversionError, match="one channel of 16 bits"):
        decompress_depth(image)


@given(st.binary(max_size=80), st.sampled_from(["png", "rvl"]), st.sampled_from(["16UC1", "32FC1"]))
def test_any_bytes_become_depth_or_a_conversion_error(
    data: bytes, codec: str, encoding: str
) -> None:
    image = CompressedImage(format=f"{encoding}; compressedDepth {codec}")
    image.data.frombytes(data)
    try:
        assert decompress_depth(image, max_pixels=10_000).ndim == 2
    except ConversionError:
        return
