"""The images of a topic in a rosbag2 bag, read by the package `rosbags`: no ROS is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.errors import SegZeroError
from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.images.conversions import to_rgb

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader

_RAW, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_SECOND = 1_000_000_000
_SLOWEST, _FASTEST = 1.0, 120.0
"""Bounds of a rate, in frames per second."""


class BadBag(SegZeroError):
    """The bag can't be read, or has no usable images on the topic; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """An image message of a bag.

    Attributes:
        stamp: Nanoseconds of its header; those of its recording where the header has none.
        recorded: Nanoseconds at which it was recorded.
        message: The image, not yet decoded.
    """

    stamp: int
    recorded: int
    message: Any

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels as (H, W, 3) uint8 RGB.

        Raises:
            ConversionError: The message holds no usable image.
        """
        compressed = hasattr(self.message, "format")
        return compressed_to_rgb(self.message) if compressed else to_rgb(self.message)


@dataclass(frozen=True, slots=True)
class ImageTopic:
    """An image topic of an open bag; iterate over it for its images in the order of recording.

    Attributes:
        name: The topic.
        count: How many images it has, one at least.
        rate: Frames per second, from the median of the times between them.
    """

    name: str
    count: int
    rate: float
    _reader: "Reader"
    _connections: "tuple[Connection, ...]"

    def __iter__(self) -> Iterator[RecordedImage]:
        from rosbags.typesys import Stores, get_typestore

        # The definitions of these two types are the same in all distributions.
        types = get_typestore(Stores.ROS2_JAZZY)
        for connection, recorded, data in _messages(self._reader, self._connections):
            try:
                message: Any = types.deserialize_cdr(data, connection.msgtype)
            except Exception as error:  # whatever its parser raises
                raise _unreadable(self._reader.path, error) from error
            header = message.header.stamp
            stamp = header.sec * _SECOND + header.nanosec
            yield RecordedImage(stamp if stamp > 0 else recorded, recorded, message)


@contextmanager
def open_images(path: Path, topic: str | None = None) -> Iterator[ImageTopic]:
    """Open an image topic of a bag; all its messages are read once, so that damage is found early.

    Args:
        path: A bag's folder, or one of its mcap or db3 files.
        topic: With sensor_msgs/Image or CompressedImage; None for the only one.

    Yields:
        The topic.

    Raises:
        BadBag: The bag can't be read, there is no such topic, or it has no images.
    """
    reader = _open(path)
    try:
        connections = _choose(path, reader, topic)
        times = np.array([recorded for _, recorded, _ in _messages(reader, connections)])
        name = connections[0].topic
        if not len(times):
            raise BadBag(f"{path} has no images on {name}: did the camera run?")
        yield ImageTopic(name, len(times), _rate(times), reader, connections)
    finally:
        reader.close()


def _open(path: Path) -> "Reader":
    try:
        from rosbags.rosbag2 import Reader
    except ImportError as error:
        raise BadBag(
            f"bags are read by the package rosbags, which isn't usable here ({error}): "
            "python -m pip install rosbags"
        ) from error
    if not path.exists():
        raise BadBag(f"there is no bag {path}")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BadBag(
            f"{path} is no bag, it has no metadata.yaml: give the bag's folder; after a recording "
            f"that broke off, `ros2 bag reindex {path}` writes the file"
        )
    if path.suffix == ".bag" and path.is_file():
        raise BadBag(
            f"{path} is a bag of ROS 1: convert it, `rosbags-convert --src {path} --dst "
            f"{path.with_suffix('')}`"
        )
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # rosbags raises whatever its parsers raise
        raise _unreadable(path, error) from error
    return reader


def _choose(path: Path, reader: "Reader", topic: str | None) -> "tuple[Connection, ...]":
    """The connections of the topic; raises BadBag without one."""
    kinds = {item.topic: item.msgtype for item in reader.connections}
    there = {
        item.topic: item.msgtype
        for item in reader.connections
        if item.msgtype in (_RAW, _COMPRESSED)
    }
    listed = ", ".join(f"{name} ({kind.split('/')[-1]})" for name, kind in sorted(there.items()))
    if not there:
        raise BadBag(f"{path} has no images: its topics are {', '.join(sorted(kinds)) or 'none'}")
    if topic is None and len(there) > 1:
        raise BadBag(f"{path} has several image topics, name one as --topic: {listed}")
    name = topic or next(iter(there))
    if name not in there:
        wrong = f"carries {kinds[name]}, no images" if name in kinds else "isn't there"
        raise BadBag(f"the topic {name} of {path} {wrong}; its image topics are {listed}")
    return tuple(item for item in reader.connections if item.topic == name)


def _messages(
    reader: "Reader", connections: "tuple[Connection, ...]"
) -> "Iterator[tuple[Connection, int, bytes]]":
    messages = reader.messages(connections)
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except Exception as error:  # rosbags raises whatever its parsers raise
            raise _unreadable(reader.path, error) from error
        yield message


def _rate(times: NDArray[np.int64]) -> float:
    """Frames per second of rising nanoseconds, with two decimals as video files want it."""
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    rate = _SECOND / period if period > 0 else _SLOWEST
    return round(min(max(rate, _SLOWEST), _FASTEST), 2)


def _unreadable(path: object, error: Exception) -> BadBag:
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadBag(
        f"can't read the bag {path}: {reason[:200]}; was the recording complete? "
        "(`ros2 bag reindex`, `mcap recover`)"
    )
