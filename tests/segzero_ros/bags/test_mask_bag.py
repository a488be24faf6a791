"""A bag of masks: what rosbags and ROS read of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CompressedImage, Image

from segzero.types import Box, SegmentedObject
from segzero_ros.bags.mask_bag import MASK, OVERLAY, writing_mask_bag
from segzero_ros.bags.object_tracks import AnnotatedFrame
from segzero_ros.bags.recording import RecordedImage
from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.results.messages import mask_ids
from tests.segzero_ros.bags.bag_files import START, raw

PIXELS = np.full((32, 48, 3), 90, np.uint8)


def block(number: int, left: int) -> SegmentedObject:
    """An object of 4x4 pixels."""
    mask = np.zeros((32, 48), bool)
    mask[8:12, left : left + 4] = True
    return SegmentedObject(number, Box(left, 8, left + 4, 12), (), mask, 0.9)


def frame(stamp: int, *objects: SegmentedObject, late: int = 5) -> AnnotatedFrame:
    """A frame that was recorded `late` nanoseconds after its stamp."""
    message = raw(PIXELS, stamp)
    return AnnotatedFrame(
        RecordedImage(START + stamp, START + stamp + late, message), PIXELS, objects
    )


def write(path: Path, frames: Sequence[AnnotatedFrame]) -> Path:
    with writing_mask_bag(path, path.stem, "the ball") as bag:
        for item in frames:
            bag.add(item)
        bag.finish({"question": "the ball"})
    return path


def read(path: Path, topic: str, kind: type) -> list[tuple[int, Any]]:
    """When each message of a topic was recorded, and the message as ROS reads it."""
    with Reader(path) as reader:
        connections = [item for item in reader.connections if item.topic == topic]
        return [
            (at, deserialize_message(bytes(data), kind))
            for _, at, data in reader.messages(connections)
        ]


@pytest.fixture(params=["masks.mcap", "masks"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_a_mask_has_stamp_frame_and_time_of_its_picture(path: Path) -> None:
    write(path, [frame(7, block(1, 4)), frame(9)])
    for topic, kind in ((MASK, Image), (OVERLAY, CompressedImage)):
        messages = read(path, topic, kind)
        assert [at - START for at, _ in messages] == [12, 14]
        stamps = [message.header.stamp for _, message in messages]
        assert [stamp.sec * 10**9 + stamp.nanosec - START for stamp in stamps] == [7, 9]
        assert {message.header.frame_id for _, message in messages} == {"camera"}


def test_an_mcap_file_is_one_file_and_a_bag_is_a_folder_with_metadata(path: Path) -> None:
    write(path, [frame(7)])
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    files = [item.name for item in path.iterdir()] if path.is_dir() else []
    assert sorted(files) == ([] if path.suffix else ["masks.mcap", "metadata.yaml"])


@pytest.mark.parametrize(
    ("number", "encoding"), [(1, "mono8"), (255, "mono8"), (256, "mono16"), (700, "mono16")]
)
def test_a_masks_values_are_the_objects_ids(tmp_path: Path, number: int, encoding: str) -> None:
    path = write(tmp_path / "masks.mcap", [frame(7, block(1, 4), block(number, 20)), frame(9)])
    (_, first), (_, second) = read(path, MASK, Image)
    assert (first.encoding, second.encoding) == (encoding, "mono8")
    ids = mask_ids(first)
    assert (ids[9, 5], ids[9, 21], ids[0, 0]) == (1, number, 0)
    assert not mask_ids(second).any()


def test_the_overlay_is_the_picture_with_the_objects_drawn_in(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.mcap", [frame(7, block(1, 4))])
    ((_, message),) = read(path, OVERLAY, CompressedImage)
    pixels = compressed_to_rgb(message)
    assert cv2.absdiff(pixels[8:12, 4:8], PIXELS[8:12, 4:8]).max() > 40


def test_after_an_error_there_is_no_bag(path: Path) -> None:
    with pytest.raises(OSError, match="full"), writing_mask_bag(path, "masks", "the ball") as bag:
        bag.add(frame(7))
        raise OSError("the disk is full")
    assert list(path.parent.iterdir()) == []
