"""How old the pixels of a frame are."""

import time

from rclpy.node import Node
from rclpy.time import Time

from segzero_ros.images.frames import Frame


class FrameAge:
    """Ages by the node's clock; warns once of images without usable stamps.

    Args:
        node: Has the clock and the log.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._warned = False

    def __call__(self, frame: Frame | None) -> float:
        """Seconds since the frame's stamp, or since it came without one; 0 without a frame."""
        if frame is None:
            return 0.0
        stamp = frame.message.header.stamp
        if stamp.sec < 0 or (stamp.sec, stamp.nanosec) == (0, 0):
            self._warn()
            return time.monotonic() - frame.received
        now = self._node.get_clock().now()
        return float((now - Time.from_msg(stamp, now.clock_type)).nanoseconds / 1e9)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            self._node.get_logger().warning(
                "The images have no usable stamps: ages are counted from their arrival, and "
                "results can't be paired with images. Let the camera's driver stamp them."
            )
