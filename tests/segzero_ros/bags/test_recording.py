"""Which images of a bag are read, and what is said of bags that can't be."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segzero_ros.bags.recording import BadBag, RecordedImage, open_images
from segzero_ros.images.compressed import to_jpeg
from segzero_ros.images.conversions import from_array
from tests.segzero_ros.bags import bag_files
from tests.segzero_ros.bags.bag_files import SECOND, START, TYPES, Message, raw, text, write_bag

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
STRING = "std_msgs/msg/String"


def picture(number: int) -> np.ndarray:
    return np.full((8, 12, 3), [number, 2 * number, 255 - number], np.uint8)


def film(count: int = 3, period: int = SECOND // 10) -> list[Message]:
    return [(k * period, raw(picture(k), 1 + k * period)) for k in range(count)]


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_bag(tmp_path / "bag", {"/camera/image_raw": (RAW, film())})


def read(path: Path, topic: str | None = None) -> list[RecordedImage]:
    with open_images(path, topic) as images:
        return list(images)


def shown(images: Sequence[RecordedImage]) -> list[int]:
    """The numbers of the pictures."""
    return [int(image.pixels()[0, 0, 0]) for image in images]


@pytest.mark.parametrize("storage", StoragePlugin)
def test_every_image_comes_in_order_with_its_stamp(tmp_path: Path, storage: StoragePlugin) -> None:
    path = write_bag(tmp_path / "bag", {"/image": (RAW, film()), "/say": (STRING, [])}, storage)
    images = read(path)
    assert shown(images) == [0, 1, 2]
    assert [image.stamp for image in images] == [START + 1 + k * SECOND // 10 for k in range(3)]
    assert read(next(path.glob("*.[md][cb]*")))[2].stamp == images[2].stamp  # the file alone


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_a_compressed_bag_is_read(tmp_path: Path, mode: CompressionMode) -> None:
    writer = Writer(tmp_path / "bag", version=9)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/image", RAW, typestore=TYPES)
        for recorded, message in film():
            writer.write(connection, START + recorded, TYPES.serialize_cdr(message, RAW))
    assert shown(read(tmp_path / "bag")) == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        pytest.param(RAW, lambda pixels: raw(pixels, 1, "bgr8"), id="bgr8"),
        pytest.param(COMPRESSED, lambda pixels: bag_files.compressed(pixels, 1), id="png"),
        pytest.param(COMPRESSED, lambda pixels: bag_files.compressed(pixels, 1, "jpg"), id="jpeg"),
    ],
)
def test_raw_and_compressed_images_have_the_same_pixels(
    tmp_path: Path, kind: str, make: Callable[[np.ndarray], object]
) -> None:
    path = write_bag(tmp_path / "bag", {"/image": (kind, [(0, make(picture(40)))])})
    np.testing.assert_allclose(read(path)[0].pixels(), picture(40), atol=3)


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_a_message_as_ros_serialises_it_is_read(tmp_path: Path, kind: type) -> None:
    header, pixels = Header(frame_id="eye", stamp=Time(sec=7, nanosec=8)), picture(40)
    message = from_array(pixels, header) if kind is Image else to_jpeg(pixels, header)
    name = f"sensor_msgs/msg/{kind.__name__}"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image", name, typestore=TYPES)
        writer.write(connection, START, serialize_message(message))
    (image,) = read(tmp_path / "bag")
    assert image.stamp == 7 * SECOND + 8
    np.testing.assert_allclose(image.pixels(), pixels, atol=3)


def test_an_image_without_a_stamp_has_the_time_of_its_recording(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", {"/image": (RAW, [(5, raw(picture(1), 0))])})
    assert read(path)[0].stamp == START + 5


@pytest.mark.parametrize(
    ("times", "rate"),
    [([0, 100, 200, 900], 10.0), ([0], 1.0), ([5, 5, 5], 1.0), ([0, 1, 2], 120.0)],
)
def test_the_rate_is_that_of_most_frames(tmp_path: Path, times: Sequence[int], rate: float) -> None:
    messages = [(ms * SECOND // 1000, raw(picture(1), 1)) for ms in times]
    with open_images(write_bag(tmp_path / "bag", {"/image": (RAW, messages)})) as images:
        assert (images.rate, images.count) == (rate, len(times))


def test_of_several_image_topics_one_must_be_named(tmp_path: Path) -> None:
    jpeg = [(0, bag_files.compressed(picture(9), 1))]
    topics = {"/left": (RAW, film()), "/right": (COMPRESSED, jpeg), "/say": (STRING, [])}
    path = write_bag(tmp_path / "bag", topics)
    with pytest.raises(BadBag, match=r"--topic: /left \(Image\), /right \(CompressedImage\)$"):
        read(path)
    assert len(read(path, "/right")) == 1


@pytest.mark.parametrize(
    ("topics", "topic", "reason"),
    [
        ({"/say": (STRING, [(0, text("hello"))])}, None, "has no images: its topics are /say"),
        ({}, None, "has no images: its topics are none"),
        ({"/image": (RAW, film())}, "/camera", "isn't there; its image topics are /image"),
        ({"/image": (RAW, film()), "/say": (STRING, [])}, "/say", f"/say .* carries {STRING}"),
        ({"/image": (RAW, [])}, None, "has no images on /image"),
    ],
)
def test_a_bag_without_the_images_is_refused(
    tmp_path: Path, topics: dict, topic: str | None, reason: str
) -> None:
    with pytest.raises(BadBag, match=reason):
        read(write_bag(tmp_path / "bag", topics), topic)


def cut(bag: Path) -> None:
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:700])


def scribble(bag: Path) -> None:
    (bag / "bag.mcap").write_text("not a recording")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(shutil.rmtree, "there is no bag", id="gone"),
        pytest.param(lambda bag: (bag / "metadata.yaml").unlink(), "bag reindex", id="no metadata"),
        pytest.param(lambda bag: (bag / "metadata.yaml").write_text("["), "YAML", id="no yaml"),
        pytest.param(lambda bag: (bag / "metadata.yaml").write_text("a: 1"), "key", id="no keys"),
        pytest.param(lambda bag: (bag / "bag.mcap").unlink(), "missing", id="no file"),
        pytest.param(cut, "recording complete", id="cut off"),
        pytest.param(scribble, "magic", id="another file"),
    ],
)
def test_a_damaged_bag_is_refused_in_one_line(
    bag: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(bag)
    with pytest.raises(BadBag, match=reason) as caught:
        read(bag)
    assert "\n" not in str(caught.value)


def test_a_bag_of_ros_1_is_told_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(BadBag, match=re.escape("rosbags-convert --src")):
        read(tmp_path / "old.bag")
