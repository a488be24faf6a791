"""The 3D geometry of the objects in an image, from the depth image of the same time."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero_ros.depth import cloud
from segzero_ros.depth.calibration import intrinsics
from segzero_ros.depth.cloud import Cloud, DepthUnavailable, DepthView
from segzero_ros.depth.transforms import Transforms
from segzero_ros.images.conversions import as_array
from segzero_ros.qos import CAMERA_QOS

DEPTH_BUFFER_SIZE = 32
"""Depth images kept: a second of most cameras, longer than following a frame takes."""
DEPTH_TIMEOUT = 0.01
"""Seconds to wait for a depth image that comes after its image; more would delay every frame."""
CLOCK_RESET_NS = 1_000_000_000
"""Nanoseconds back in time after which the clock counts as restarted."""

_UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 0.001)}
"""REP 118: dtype of an encoding, and the metres of a depth of 1."""


@dataclass(frozen=True, slots=True)
class DepthSettings:
    """How depth is used.

    Attributes:
        tolerance: Most seconds between the stamps of an image and of its depth image.
        target_frame: The tf frame of the geometry; empty for the camera's.
    """

    tolerance: float
    target_frame: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LocatedObjects:
    """The objects of one image in 3D.

    Attributes:
        cloud: Their points and geometry.
        frame_id: The tf frame of the coordinates.
    """

    cloud: Cloud
    frame_id: str


class DepthInput:
    """Buffers the newest depth images, undecoded, and the newest calibration; for any thread."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._images: deque[Image] = deque(maxlen=DEPTH_BUFFER_SIZE)
        self._pinned_stamp: Stamp | None = None
        self._pinned: Image | None = None
        self._info: CameraInfo | None = None
        self._subscriptions: list[Subscription] = []

    def start(self, node: Node) -> None:
        """Subscribe to `depth` and `camera_info`."""
        self._subscriptions = [
            node.create_subscription(Image, "depth", self.put, CAMERA_QOS),
            node.create_subscription(CameraInfo, "camera_info", self.calibrate, CAMERA_QOS),
        ]

    def stop(self, node: Node) -> None:
        """End the subscriptions and forget the images."""
        for subscription in self._subscriptions:
            node.destroy_subscription(subscription)
        with self._change:
            self._subscriptions = []
            self._images.clear()
            self._pinned_stamp = self._pinned = None

    def put(self, image: Image) -> None:
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

    def nearest(self, stamp: Stamp, tolerance: float) -> tuple[Image, CameraInfo]:
        """Find the depth of an image; waits `DEPTH_TIMEOUT` for one that is not yet there.

        Args:
            stamp: That of the image.
            tolerance: Most seconds between the two stamps.

        Returns:
            The depth image nearest to `stamp`, and the calibration.

        Raises:
            DepthUnavailable: One of them is missing, or the stamps are too far apart.
        """
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


class Locator:
    """Computes the 3D geometry of objects; `locate` and `pin_depth` are for the worker's thread.

    Create, update and close it in the thread that spins `node`.

    Args:
        node: Gets the subscriptions.
        settings: How depth is used.

    Raises:
        TransformUnavailable: There is a target_frame, but tf2 is not installed.
    """

    def __init__(self, node: Node, settings: DepthSettings) -> None:
        self._node = node
        self._transforms: Transforms | None = None
        self._state: tuple[bytes, str] = (DiagnosticStatus.OK, "nothing located yet")
        self._depth = DepthInput()
        self.update_parameters(settings)
        self._depth.start(node)

    def update_parameters(self, settings: DepthSettings) -> None:
        """Use other settings; subscribe to tf if there is a target_frame.

        Raises:
            TransformUnavailable: There is a target_frame, but tf2 is not installed.
        """
        self._settings = settings
        if settings.target_frame and self._transforms is None:
            self._transforms = Transforms(self._node)

    def pin_depth(self, stamp: Stamp) -> None:
        """Keep the depth for an image whose answer takes long."""
        self._depth.pin(stamp)

    def locate(self, ids: NDArray[np.uint8], header: Header) -> LocatedObjects | None:
        """Compute the geometry of the objects in an image.

        Args:
            ids: The mask, (H, W); 0 is background, k is object k.
            header: That of the image.

        Returns:
            The geometry; empty for a mask without objects, so that subscribers remove the old
            points. None if there is no depth; `status` says why.
        """
        try:
            located = self._locate(ids, header)
        except SegZeroError as error:
            self._state = DiagnosticStatus.WARN, str(error)
            self._node.get_logger().warning(
                f"The objects aren't located: {error}", throttle_duration_sec=10.0
            )
            return None
        points = len(located.cloud.points)
        self._state = DiagnosticStatus.OK, f"{points} points in {located.frame_id}"
        return located

    def status(self) -> tuple[bytes, str]:
        """Return the DiagnosticStatus level and text of the last `locate`."""
        return self._state

    def close(self) -> None:
        """End the subscriptions."""
        self._depth.stop(self._node)
        if self._transforms:
            self._transforms.close()
            self._transforms = None

    def _locate(self, ids: NDArray[np.uint8], header: Header) -> LocatedObjects:
        settings = self._settings
        frame_id = settings.target_frame or header.frame_id
        if not ids.any():
            return LocatedObjects(cloud.EMPTY, frame_id)
        image, info = self._depth.nearest(header.stamp, settings.tolerance)
        if image.header.frame_id != header.frame_id:
            raise DepthUnavailable(
                f"depth is in the frame {image.header.frame_id!r}, the image in "
                f"{header.frame_id!r}: let the driver publish depth that is registered to the image"
            )
        pose = None
        if frame_id != header.frame_id and self._transforms:
            pose = self._transforms.lookup(frame_id, header.frame_id, header.stamp)
        return LocatedObjects(cloud.lift_mask(ids, depth_view(image, info), pose), frame_id)


def depth_view(image: Image, info: CameraInfo) -> DepthView:
    """Read a depth image.

    Args:
        image: Encoded as REP 118 says: 32FC1 in metres or 16UC1 in millimetres.
        info: Its calibration.

    Raises:
        DepthUnavailable: The image has another encoding.
        Uncalibrated: The calibration doesn't fit the image.
        ConversionError: The image is damaged.
    """
    if image.encoding not in _UNITS:
        raise DepthUnavailable(
            f"depth images with encoding {image.encoding[:40]!r} are not supported: remap `depth` "
            "to one of 32FC1 (metres) or 16UC1 (millimetres)"
        )
    dtype, unit = _UNITS[image.encoding]
    depth = as_array(image, dtype, 1)[..., 0]  # (H, W)
    return DepthView(depth, unit, intrinsics(info, image.width, image.height))


def _nearest(stamp: Stamp, images: Iterable[Image]) -> Image:
    wanted = _in_nanoseconds(stamp)
    return min(images, key=lambda image: abs(_nanoseconds(image) - wanted))


def _nanoseconds(image: Image) -> int:
    return _in_nanoseconds(image.header.stamp)


def _in_nanoseconds(stamp: Stamp) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
