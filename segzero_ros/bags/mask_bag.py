"""A bag of masks: for each annotated picture its mask, and the picture with the objects drawn in.

Stamps, frames and times of recording are the pictures'. `rosbags` writes it: no ROS is needed, and
`ros2 bag` reads it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segzero import overlay
from segzero.types import Segmentation
from segzero_ros.bags.object_tracks import AnnotatedFrame

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer

MASK, OVERLAY = "/segzero/mask", "/segzero/overlay/compressed"
"""The topics, as those of the node."""
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class MaskBagWriter:
    """Writes frames one after the other; `writing_mask_bag` makes one.

    Attributes:
        frames: How many were written.
        annotated: How many of them show an object.
    """

    def __init__(self, writer: "Writer", question: str) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.frames = self.annotated = 0
        self._writer = writer
        self._question = question
        # The definitions of these two types are the same in all distributions.
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._connections = {
            topic: writer.add_connection(topic, kind, typestore=self._types)
            for topic, kind in ((MASK, _IMAGE), (OVERLAY, _COMPRESSED))
        }

    def add(self, frame: AnnotatedFrame) -> None:
        """Write a frame.

        Args:
            frame: Its masks become mono8; mono16 where an id is above 255.

        Raises:
            OSError: It can't be written.
        """
        height, width = frame.pixels.shape[:2]
        result = Segmentation(self._question, "", "", (width, height), frame.objects)
        wide = any(item.id > 255 for item in frame.objects)
        ids = result.mask("<u2" if wide else np.uint8)  # (H, W)
        drawn = overlay.draw(frame.pixels, result)
        _, jpeg = cv2.imencode(".jpg", drawn[..., ::-1])
        header = frame.image.message.header
        self._write(
            MASK,
            frame,
            header=header,
            height=height,
            width=width,
            encoding="mono16" if wide else "mono8",
            is_bigendian=0,
            step=width * ids.itemsize,
            data=ids.ravel().view(np.uint8),
        )
        self._write(
            OVERLAY,
            frame,
            header=header,
            format="rgb8; jpeg compressed bgr8",
            data=jpeg.ravel(),
        )
        self.frames += 1
        self.annotated += bool(frame.objects)

    def finish(self, info: dict[str, Any]) -> None:
        """Note where the frames come from, as the bag's custom data."""
        for name, value in info.items():
            self._writer.set_custom_data(name, str(value))

    def _write(self, topic: str, frame: AnnotatedFrame, **fields: Any) -> None:
        connection = self._connections[topic]
        message = self._types.types[connection.msgtype](**fields)
        data = self._types.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, frame.image.recorded, data)


@contextmanager
def writing_mask_bag(path: Path, name: str, question: str) -> Iterator[MaskBagWriter]:
    """Write a bag.

    Args:
        path: One `.mcap` file, or else the bag's folder; it doesn't exist yet.
        name: Of the bag, and of its file without the suffix.
        question: What was asked.

    Yields:
        The writer. After an error in the block there is no bag.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer

    around = path.with_suffix(".around")
    shutil.rmtree(around, ignore_errors=True)  # of a process that was killed
    try:
        folder = around / name
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            yield MaskBagWriter(writer, question)
        (folder / f"{name}.mcap" if path.suffix == ".mcap" else folder).replace(path)
    finally:
        shutil.rmtree(around, ignore_errors=True)
