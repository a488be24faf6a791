"""Bags of the simulated tabletop, written without ROS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
"""When every recording begins, in nanoseconds."""

Message = tuple[int, Any]
"""When it was recorded, in nanoseconds since START, and the message."""


def raw(pixels: NDArray[np.uint8], stamp: int, encoding: str = "rgb8") -> Any:
    """A sensor_msgs/Image of (H, W, 3) RGB pixels, stamped in nanoseconds since START or 0."""
    height, width = pixels.shape[:2]
    data = pixels if encoding == "rgb8" else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return TYPES.types["sensor_msgs/msg/Image"](
        header(stamp), height, width, encoding, 0, 3 * width, data.ravel()
    )


def compressed(pixels: NDArray[np.uint8], stamp: int, suffix: str = "png") -> Any:
    _, data = cv2.imencode(f".{suffix}", pixels[..., ::-1])
    return TYPES.types["sensor_msgs/msg/CompressedImage"](
        header(stamp), f"rgb8; {suffix} compressed bgr8", data
    )


def text(words: str) -> Any:
    return TYPES.types["std_msgs/msg/String"](words)


def header(stamp: int) -> Any:
    at = START + stamp if stamp else 0
    time = TYPES.types["builtin_interfaces/msg/Time"](at // SECOND, at % SECOND)
    return TYPES.types["std_msgs/msg/Header"](time, "camera")


def write_bag(
    path: Path,
    topics: Mapping[str, tuple[str, Sequence[Message]]],
    storage: StoragePlugin = StoragePlugin.MCAP,
) -> Path:
    """Write a bag.

    Args:
        path: Its folder.
        topics: The type of each, such as `sensor_msgs/msg/Image`, and its messages.
        storage: MCAP or SQLITE3.
    """
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, (kind, messages) in topics.items():
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for recorded, message in messages:
                data = TYPES.serialize_cdr(message, kind)
                writer.write(connection, START + recorded, data)
    return path
