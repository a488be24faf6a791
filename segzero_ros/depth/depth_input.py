"""The newest depth images and the calibration, found by the stamp of a colour image."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

from builtin_interfaces.msg import Time as Stamp
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from segzero_ros.depth.cloud import DepthUnavailable
from segzero_ros.qos import CAMERA_QOS, overridable

DEPTH_BUFFER_SIZE = 32
"""Depth images kept: a second of most cameras, longer than following a frame takes."""
DEPTH_TIMEOUT = 0.01
"""Seconds to wait for a depth image that comes after its image; more would delay every frame."""
CLOCK_RESET_NS = 1_000_000_000
"""Nanoseconds back in time after which the clock counts as restarted."""

DepthImage: TypeAlias = Image | CompressedImage


class DepthInput:
    """Buffers the newest depth images, undecoded, and the newest calibration; for any thread."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._images: deque[DepthImage] = deque(maxlen=DEPTH_BUFFER_SIZE)
        self._pinned_stamp: Stamp | None = None
        self._pinned: DepthImage | None = None
        self._info: CameraInfo | None = None
        self._subscriptions: list[Subscription] = []

    def start(self, node: Node, transport: str = "raw") -> None:
        """Subscribe to `depth`, or to its topic of another transport, and to `camera_info`."""
        topic, kind = node.resolve_topic_name("depth"), Image
        if transport != "raw":
            topic, kind = f"{topic}/{transport}", CompressedImage
        self._subscriptions = [
            node.create_subscription(kind, topic, self.put, **overridable(CAMERA_QOS)),
            node.create_subscription(
                CameraInfo, "camera_info", self.calibrate, **overridable(CAMERA_QOS)
            ),
        ]

    def topics(self) -> list[str]:
        """Return the full names of the subscribed topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def stop(self, node: Node) -> None:
        """End the subscriptions and forget the images."""
        for subscription in self._subscriptions:
            node.destroy_subscription(subscription)
        with self._change:
            self._subscriptions = []
            self._images.clear()
            self._pinned_stamp = self._pinned = None

    def put(self, image: DepthImage) -> None:
        """Add a depth image; one from long before the newest starts the buffer anew."""
        with self._change:
            newest = _nanoseconds(self._images[-1]) if self._images else 0
            if _nanoseconds(image) < newest - CLOCK_RESET_NS:
                self._images.clear()
            self._images.append(image)
            if self._pinned_stamp:
                candidates = [self._pinned, image] if self._pinned else [image]
                self._pinned = _nearest(self._pinned_stamp, candidates)
            self._change.notify_all()

    def calibrate(self, info: CameraInfo) -> None:
        """Set the calibration."""
        self._info = info

    def pin(self, stamp: Stamp) -> None:
        """Keep the depth image nearest to `stamp` until the next call."""
        with self._change:
            self._pinned_stamp = stamp
            self._pinned = _nearest(stamp, self._images) if self._images else None

    def nearest(self, stamp: Stamp, tolerance: float) -> tuple[DepthImage, CameraInfo]:
        """Find the depth of an image; waits `DEPTH_TIMEOUT` for one that is not yet there.

        Args:
            stamp: That of the image.
            tolerance: Most seconds between the two stamps.

        Returns:
            The depth image nearest to `stamp`, and the calibration.

        Raises:
            DepthUnavailable: One of them is missing, the image has no stamp, or the stamps are too
                far apart.
        """
        if not _in_nanoseconds(stamp):
            raise DepthUnavailable(
                "the image's stamp is zero, but depth is found by its stamp: let the camera driver "
                "stamp its images"
            )
        with self._change:
            if self._images:
                wanted = _in_nanoseconds(stamp)
                self._change.wait_for(
                    lambda: not self._images or _nanoseconds(self._images[-1]) >= wanted,
                    DEPTH_TIMEOUT,
                )
            known = [*self._images, *([self._pinned] if self._pinned else [])]
        if not known:
            raise DepthUnavailable(
                "no depth image came yet: start the depth camera or remap `depth`"
            )
        if self._info is None:
            raise DepthUnavailable(
                "no camera_info came yet: remap `camera_info` to that of the image"
            )
        image = _nearest(stamp, known)
        apart = (_nanoseconds(image) - _in_nanoseconds(stamp)) / 1e9
        if abs(apart) > tolerance:
            raise DepthUnavailable(
                f"the depth image nearest to the image is {abs(apart):.3f} s "
                f"{'younger' if apart > 0 else 'older'}, depth_tolerance allows {tolerance:g} s: "
                "let the driver synchronise depth with colour; if they are many seconds apart, "
                "their clocks differ"
            )
        return image, self._info


def _nearest(stamp: Stamp, images: Iterable[DepthImage]) -> DepthImage:
    wanted = _in_nanoseconds(stamp)
    return min(images, key=lambda image: abs(_nanoseconds(image) - wanted))


def _nanoseconds(image: DepthImage) -> int:
    return _in_nanoseconds(image.header.stamp)


def _in_nanoseconds(stamp: Stamp) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
