"""The objects of an image placed in space, with the depth image of the same moment."""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, Vector3
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero_ros.depth import cloud
from segzero_ros.depth.calibration import intrinsics
from segzero_ros.depth.cloud import Cloud, DepthUnavailable, DepthView
from segzero_ros.depth.transforms import Transforms
from segzero_ros.images.camera import CAMERA_QOS
from segzero_ros.images.conversions import as_array
from segzero_ros.msg import Segmentation
from segzero_ros.parameters import Parameters

DEPTH_BUFFER_SIZE = 32
"""Depth images kept: a second of most cameras, longer than following a frame takes."""
DEPTH_TIMEOUT = 0.01
"""Seconds to wait for depth that is still on its way; longer, and every frame would be late."""
CLOCK_RESET_NS = 1_000_000_000
"""Nanoseconds back in time after which the clock counts as started again."""

_UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 0.001)}
"""REP 118: dtype of an encoding, and the metres that a depth of 1 stands for."""


class DepthInput:
    """Keeps the newest depth images, undecoded, and the newest calibration; for any thread."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._images: deque[Image] = deque(maxlen=DEPTH_BUFFER_SIZE)
        self._held: tuple[Stamp, Image | None] | None = None
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
            self._held = None

    def put(self, image: Image) -> None:
        with self._change:
            if (
                self._images
                and _nanoseconds(image) < _nanoseconds(self._images[-1]) - CLOCK_RESET_NS
            ):
                self._images.clear()
            self._images.append(image)
            if self._held:
                stamp, held = self._held
                self._held = stamp, _nearest(stamp, [held, image] if held else [image])
            self._change.notify_all()

    def calibrate(self, info: CameraInfo) -> None:
        self._info = info

    def hold(self, stamp: Stamp) -> None:
        """Keep the depth image nearest to `stamp` until the next call, however long that takes."""
        with self._change:
            self._held = stamp, _nearest(stamp, self._images) if self._images else None

    def at(self, stamp: Stamp, tolerance: float) -> tuple[Image, CameraInfo]:
        """Return the depth image nearest to `stamp`, and the calibration. Raises NoCloud.

        tolerance: seconds that its stamp may differ.
        """
        with self._change:
            if self._images:
                params = _in_nanoseconds(stamp)
                self._change.wait_for(
                    lambda: not self._images or _nanoseconds(self._images[-1]) >= params,
                    DEPTH_TIMEOUT,
                )
            held = [self._held[1]] if self._held and self._held[1] else []
            known = [*self._images, *held]
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
    """Places the objects of results in 3D; `locate` and `hold` are for the worker's thread.

    Make, `adapt` and `close` it in the thread that spins `node`. Raises NoTransform for a
    target_frame without tf2.
    wanted: the node's parameters of the moment.
    """

    def __init__(self, node: Node, params: Callable[[], Parameters]) -> None:
        self._node = node
        self._params = params
        self._transforms: Transforms | None = None
        self._state: tuple[bytes, str] = (DiagnosticStatus.OK, "nothing located yet")
        self._depth = DepthInput()
        self.update_parameters()
        self._depth.start(node)

    def update_parameters(self) -> None:
        """Listen to tf if there is a target_frame now. Raises NoTransform."""
        if self._params().target_frame and self._transforms is None:
            self._transforms = Transforms(self._node)

    def hold(self, stamp: Stamp) -> None:
        """Keep the depth for an image that takes long to answer."""
        self._depth.hold(stamp)

    def locate(self, result: Segmentation) -> PointCloud2 | None:
        """Give the objects of `result` their centroid and extent; return their cloud.

        None where they can't be placed; `status` says why. A result without objects has an empty
        cloud, which takes the old points off the screen.
        """
        try:
            found, frame = self._find(result)
        except SegZeroError as error:
            self._state = DiagnosticStatus.WARN, str(error)
            self._node.get_logger().warning(
                f"The objects aren't located: {error}", throttle_duration_sec=10.0
            )
            return None
        self._state = DiagnosticStatus.OK, f"{len(found.points)} points in {frame}"
        result.points_frame_id = frame
        for item in result.objects:
            if place := found.places.get(item.id):
                item.located = True
                item.centroid = Point(**_axes(place.centroid))
                item.extent = Vector3(**_axes(place.extent))
        return cloud.to_message(found, Header(stamp=result.header.stamp, frame_id=frame))

    def status(self) -> tuple[bytes, str]:
        """Return the DiagnosticStatus level and text of the last `locate`."""
        return self._state

    def close(self) -> None:
        """Stop listening."""
        self._depth.stop(self._node)
        if self._transforms:
            self._transforms.close()
            self._transforms = None

    def _find(self, result: Segmentation) -> tuple[Cloud, str]:
        params, header = self._params(), result.header
        frame = params.target_frame or header.frame_id
        if not result.objects:
            return cloud.EMPTY, frame
        image, info = self._depth.at(header.stamp, params.depth_tolerance)
        if image.header.frame_id != header.frame_id:
            raise DepthUnavailable(
                f"depth is in the frame {image.header.frame_id!r}, the image in "
                f"{header.frame_id!r}: let the driver publish depth that is registered to the image"
            )
        pose = None
        if frame != header.frame_id and self._transforms:
            pose = self._transforms.lookup(frame, header.frame_id, header.stamp)
        return cloud.locate(as_array(result.mask, "u1", 1)[..., 0], view(image, info), pose), frame


def view(image: Image, info: CameraInfo) -> DepthView:
    """Read a depth image. Raises NoCloud, Uncalibrated or ConversionError."""
    if image.encoding not in _UNITS:
        raise DepthUnavailable(
            f"depth images with encoding {image.encoding[:40]!r} are not supported: remap `depth` "
            "to one of 32FC1 (metres) or 16UC1 (millimetres)"
        )
    dtype, unit = _UNITS[image.encoding]
    depth = as_array(image, dtype, 1)[..., 0]
    return DepthView(depth, unit, intrinsics(info, image.width, image.height))


def _nearest(stamp: Stamp, images: "deque[Image] | list[Image]") -> Image:
    params = _in_nanoseconds(stamp)
    return min(images, key=lambda image: abs(_nanoseconds(image) - params))


def _nanoseconds(image: Image) -> int:
    return _in_nanoseconds(image.header.stamp)


def _in_nanoseconds(stamp: Stamp) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _axes(values: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=True))
