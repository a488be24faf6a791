"""ROS images ↔ NumPy: the same pixels by every way, and a clear error for every broken message."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from segzero.errors import BadImage
from segzero_ros.images import conversions, cv_bridge
from segzero_ros.images.conversions import ConversionError, from_array, to_rgb
from segzero_ros.images.yuv import SEMI_PLANAR

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = RGB[..., :1]
ALPHA = np.full((6, 8, 1), 7, np.uint8)
BLUE_FIRST = RGB[..., ::-1]
GRAY_AS_RGB = GRAY.repeat(3, axis=2)


def wide(pixels: NDArray) -> NDArray[np.uint16]:
    """The 16-bit values that 8-bit values stand for."""
    return pixels.astype(np.uint16) * 257


# encoding: (pixels as the encoding lays them out, the same as RGB)
LAYOUTS = {
    "rgb8": (RGB, RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], 2), RGB),
    "bgr8": (BLUE_FIRST, RGB),
    "bgra8": (np.concatenate([BLUE_FIRST, ALPHA], 2), RGB),
    "mono8": (GRAY, GRAY_AS_RGB),
    "rgb16": (wide(RGB), RGB),
    "rgba16": (wide(np.concatenate([RGB, ALPHA], 2)), RGB),
    "bgr16": (wide(BLUE_FIRST), RGB),
    "bgra16": (wide(np.concatenate([BLUE_FIRST, ALPHA], 2)), RGB),
    "mono16": (wide(GRAY), GRAY_AS_RGB),
    "8UC1": (GRAY, GRAY_AS_RGB),
    "8UC3": (BLUE_FIRST, RGB),
    "8UC4": (np.concatenate([BLUE_FIRST, ALPHA], 2), RGB),
    "16UC1": (wide(GRAY), GRAY_AS_RGB),
    "16UC3": (wide(BLUE_FIRST), RGB),
    "16UC4": (wide(np.concatenate([BLUE_FIRST, ALPHA], 2)), RGB),
    "32FC1": (GRAY.astype(np.float32) / 255, GRAY_AS_RGB),
    "32FC3": (BLUE_FIRST.astype(np.float32) / 255, RGB),
}
BAYER = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}
YUV = {"yuv422": "UYVY", "uyvy": "UYVY", "yuv422_yuy2": "YUYV", "yuyv": "YUYV"}


WAYS = ["opencv", "cv_bridge"] if cv_bridge.cv_bridge_usable() else ["opencv"]
NO_CV_BRIDGE = "cv_bridge isn't installed here, or doesn't work with this NumPy"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert without cv_bridge, and with it where it is usable."""
    monkeypatch.setattr(cv_bridge, "cv_bridge_usable", lambda: request.param == "cv_bridge")


def message(pixels: NDArray, encoding: str, *, padding: int = 0, big_endian: bool = False) -> Image:
    """A message with `padding` bytes of rubbish behind each row."""
    height, width = pixels.shape[:2]
    order = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.frombuffer(order.tobytes(), np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    image = Image(height=height, width=width, encoding=encoding, is_bigendian=big_endian)
    image.step = rows.shape[1]
    image.data.frombytes(rows.tobytes())
    return image


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("encoding", LAYOUTS)
@pytest.mark.usefixtures("way")
def test_every_layout_gives_the_same_pixels(encoding: str, padding: int, big_endian: bool) -> None:
    pixels, expected = LAYOUTS[encoding]
    rgb = to_rgb(message(pixels, encoding, padding=padding, big_endian=big_endian))
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.usefixtures("way")
def test_bayer_mosaics_give_their_colour(pattern: str, bits: int) -> None:
    colour = {"R": 200, "G": 120, "B": 40}
    tile = np.array([colour[letter] for letter in BAYER[pattern]], np.uint8).reshape(2, 2, 1)
    mosaic = np.tile(tile, (4, 5, 1))
    rgb = to_rgb(message(mosaic if bits == 8 else wide(mosaic), f"bayer_{pattern}{bits}"))
    np.testing.assert_array_equal(rgb, np.tile(np.array([200, 120, 40], np.uint8), (8, 10, 1)))


@pytest.mark.parametrize("encoding", YUV)
@pytest.mark.usefixtures("way")
def test_packed_yuv_gives_its_colour(encoding: str) -> None:
    y, u, v = 120, 90, 170
    pair = [{"Y": y, "U": u, "V": v}[letter] for letter in YUV[encoding]]
    pixels = np.tile(np.array(pair, np.uint8).reshape(1, 2, 2), (4, 3, 1))
    # ITU-R BT.601, limited range
    luma = 1.164 * (y - 16)
    red = luma + 1.596 * (v - 128)
    green = luma - 0.813 * (v - 128) - 0.391 * (u - 128)
    blue = luma + 2.018 * (u - 128)
    rgb = to_rgb(message(pixels, encoding)).astype(float)
    assert rgb.shape == (4, 6, 3)
    np.testing.assert_allclose(rgb, np.broadcast_to([red, green, blue], rgb.shape), atol=1)


def scene(height: int = 48, width: int = 64) -> NDArray:
    """Coloured shapes as (H, W, 3) RGB, smooth so that halved chroma loses little."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    colour = np.stack([u / width, v / height, 0.5 + 0.4 * np.sin(u / 9)], axis=2)
    colour[10:30, 20:40] = 0.9, 0.2, 0.1
    return cv2.GaussianBlur((colour * 255).astype(np.uint8), (5, 5), 0)


def ycbcr(rgb: NDArray) -> NDArray[np.uint8]:
    """ITU-R BT.601 with limited range, (H, W, 3), written out."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
    values = rgb / 255 @ matrix.T + [16, 128, 128]
    return np.rint(values).astype(np.uint8)


def semi_planar(encoding: str, rgb: NDArray, padding: int = 0) -> Image:
    """The message of a semi-planar encoding, with rubbish behind each row of both planes."""
    yuv, halved = ycbcr(rgb), encoding != "nv24"
    chroma = yuv[..., 1:]
    if halved:
        chroma = np.rint(cv2.resize(chroma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    if encoding == "nv21":
        chroma = chroma[..., ::-1]
    height, width = rgb.shape[:2]
    image = Image(height=height, width=width, encoding=encoding, step=width + padding)
    for rows, extra in (
        (yuv[..., 0], padding),
        (chroma.astype(np.uint8).reshape(len(chroma), -1), padding if halved else 2 * padding),
    ):
        image.data.frombytes(np.pad(rows, ((0, 0), (0, extra)), constant_values=0xAB).tobytes())
    return image


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", SEMI_PLANAR)
def test_semi_planar_yuv_gives_the_picture(encoding: str, padding: int) -> None:
    rgb = to_rgb(semi_planar(encoding, scene(), padding))
    assert np.abs(rgb.astype(int) - scene()).mean() < 3
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_semi_planar_yuv_is_read_as_opencv_reads_it(encoding: str) -> None:
    image = semi_planar(encoding, scene())
    planes = np.frombuffer(image.data, np.uint8).reshape(-1, 64)
    code = getattr(cv2, f"COLOR_YUV2RGB_{encoding.upper()}")
    np.testing.assert_array_equal(to_rgb(image), cv2.cvtColor(planes, code))


@pytest.mark.parametrize(
    ("encoding", "size", "reason"),
    [
        ("nv12", (47, 64), "even width, height and step"),
        ("nv21", (48, 63), "even width, height and step"),
        ("nv24", (0, 64), "empty"),
    ],
)
def test_semi_planar_yuv_with_odd_sides_is_refused(
    encoding: str, size: tuple[int, int], reason: str
) -> None:
    height, width = size
    with pytest.raises(ConversionError, match=reason):
        to_rgb(Image(height=height, width=width, encoding=encoding, step=width))


@pytest.mark.parametrize("encoding", SEMI_PLANAR)
def test_semi_planar_yuv_without_all_of_its_chroma_is_refused(encoding: str) -> None:
    image = semi_planar(encoding, scene())
    del image.data[-2:]
    with pytest.raises(ConversionError, match=rf"bytes of data, but 64×48 pixels of {encoding}"):
        to_rgb(image)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "nv12"])
def test_an_image_with_too_many_pixels_is_refused(encoding: str) -> None:
    pixels = LAYOUTS[encoding][0] if encoding in LAYOUTS else None
    image = semi_planar(encoding, scene(6, 8)) if pixels is None else message(pixels, encoding)
    assert to_rgb(image, max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(ConversionError, match="8×6 pixels, more than max_pixels allows"):
        to_rgb(image, max_pixels=47)


@pytest.mark.skipif("cv_bridge" not in WAYS, reason=NO_CV_BRIDGE)
def test_cv_bridge_and_opencv_agree_on_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    bridged = {name: layout for name, layout in conversions.ENCODINGS.items() if layout.bridged}
    for encoding, layout in bridged.items():
        top = np.iinfo(layout.dtype).max
        noise = np.random.default_rng(1).integers(0, top, (8, 10, layout.channels), layout.dtype)
        image = message(noise, encoding)
        monkeypatch.setattr(cv_bridge, "cv_bridge_usable", lambda: True)
        by_cv_bridge = to_rgb(image)
        monkeypatch.setattr(cv_bridge, "cv_bridge_usable", lambda: False)
        np.testing.assert_array_equal(by_cv_bridge, to_rgb(image), err_msg=encoding)


@pytest.mark.parametrize("encoding", ["rgb8", "rgba8"])
@pytest.mark.parametrize("padding", [0, 5])
def test_rgb_is_a_view_into_the_message(encoding: str, padding: int) -> None:
    image = message(LAYOUTS[encoding][0], encoding, padding=padding)
    rgb = to_rgb(image)
    image.data[0] ^= 0xFF
    assert rgb[0, 0, 0] == image.data[0]


def test_a_damaged_cv_bridge_is_not_used(
    tmp_path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    package = tmp_path / "cv_bridge" / "boost"
    package.mkdir(parents=True)
    (tmp_path / "cv_bridge" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "cv_bridge_boost.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cv_bridge.cv_bridge_usable.cache_clear()
    request.addfinalizer(cv_bridge.cv_bridge_usable.cache_clear)
    assert not cv_bridge.cv_bridge_usable()


BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "unknown encoding": ({"encoding": "h264"}, "'h264' is not supported.*rgb8"),
    "no encoding": ({"encoding": ""}, "'' is not supported"),
    "short step": ({"step": 23}, r"step is 23 bytes.*takes 24"),
    "zero step": ({"step": 0}, r"step is 0 bytes"),
    "long step": ({"step": 25}, r"144 bytes of data, but step × height is 25 × 6 = 150"),
    "zero width": ({"width": 0}, "empty"),
    "zero height": ({"height": 0}, "empty"),
    "too high": ({"height": 7}, r"144 bytes of data, but step × height is 24 × 7 = 168"),
    "huge": ({"height": 2**32 - 1, "width": 2**32 - 1}, "takes 12884901885"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_message_is_named(fault: str) -> None:
    image = message(RGB, "rgb8")
    changes, reason = BROKEN[fault]
    for field, value in changes.items():
        setattr(image, field, value)
    with pytest.raises(ConversionError, match=reason):
        to_rgb(image)


def test_missing_data_is_named() -> None:
    image = message(RGB, "rgb8")
    del image.data[-1:]
    with pytest.raises(ConversionError, match="143 bytes of data"):
        to_rgb(image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding", ["32FC1", "32FC3"])
def test_a_float_image_with_holes_is_refused(encoding: str, value: float) -> None:
    pixels = LAYOUTS[encoding][0].copy()
    pixels[2, 3, 0] = value
    with pytest.raises(ConversionError, match="NaN or infinity"):
        to_rgb(message(pixels, encoding))


def test_depth_is_not_taken_for_a_picture() -> None:
    metres = np.full((6, 8, 1), 1.7, np.float32)
    with pytest.raises(ConversionError, match="depth image, remap `image`"):
        to_rgb(message(metres, "32FC1"))


@pytest.mark.parametrize("encoding", YUV)
def test_packed_yuv_of_odd_width_is_refused(encoding: str) -> None:
    with pytest.raises(ConversionError, match="even width"):
        to_rgb(message(np.zeros((4, 5, 2), np.uint8), encoding))


@given(
    encoding=st.sampled_from([*conversions.ENCODINGS, *SEMI_PLANAR, "", "jpeg"]),
    height=st.integers(0, 5),
    width=st.integers(0, 5),
    step=st.integers(0, 90),
    big_endian=st.booleans(),
    data=st.binary(max_size=450),
)
def test_any_message_becomes_a_picture_or_a_conversion_error(
    encoding: str, height: int, width: int, step: int, big_endian: bool, data: bytes
) -> None:
    image = Image(height=height, width=width, encoding=encoding, step=step)
    image.is_bigendian = big_endian
    image.data.frombytes(data)
    try:
        rgb = to_rgb(image)
    except ConversionError:
        return
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8


def test_conversion_errors_are_bad_images() -> None:
    assert issubclass(ConversionError, BadImage)


@pytest.mark.parametrize(("pixels", "encoding"), [(RGB, "rgb8"), (GRAY[..., 0], "mono8")])
def test_arrays_become_messages(pixels: NDArray[np.uint8], encoding: str) -> None:
    header = Header(frame_id="camera")
    header.stamp.sec = 42
    image = from_array(pixels[:, ::2], header)  # not contiguous
    assert (image.encoding, image.height, image.width) == (encoding, 6, 4)
    assert image.header == header
    np.testing.assert_array_equal(to_rgb(image)[..., 0], pixels[:, ::2].reshape(6, 4, -1)[..., 0])


@pytest.mark.parametrize(
    "pixels", [RGB.astype(np.int32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_other_arrays_do_not_become_messages(pixels: NDArray) -> None:
    with pytest.raises(ConversionError):
        from_array(pixels, Header())
