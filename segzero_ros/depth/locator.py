"""The 3D geometry of the objects in an image, from the depth image of the same time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from segzero.errors import SegZeroError
from segzero_ros.depth import cloud
from segzero_ros.depth.calibration import Intrinsics, distortion, intrinsics
from segzero_ros.depth.cloud import Cloud, DepthUnavailable, DepthView
from segzero_ros.depth.compressed_depth import decompress_depth
from segzero_ros.depth.depth_input import DepthImage, DepthInput
from segzero_ros.depth.transforms import Transforms
from segzero_ros.images import camera
from segzero_ros.images.conversions import MAX_PIXELS, as_array

NOTABLE_DISTORTION = 1.0
"""Pixels of lens distortion that are worth a warning."""

_DTYPES = {"32FC1": "f4", "16UC1": "u2", "mono16": "u2"}
"""REP 118's encodings, and the name that some drivers give to 16UC1."""
_UNITS = {"f": 1.0, "u": 0.001}
"""Metres of a depth of 1, by the kind of the dtype."""


@dataclass(frozen=True, slots=True)
class DepthSettings:
    """How depth is used.

    Attributes:
        tolerance: Most seconds between the stamps of an image and of its depth image.
        target_frame: The tf frame of the geometry; empty for the camera's.
        transport: "raw" or "compressedDepth", as image_transport names them.
        max_pixels: The most pixels of a compressed image that are decoded.
    """

    tolerance: float
    target_frame: str = ""
    transport: str = "raw"
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class LocatedObjects:
    """The objects of one image in 3D.

    Attributes:
        cloud: Their points and geometry.
        frame_id: The tf frame of the coordinates.
        camera: The intrinsics of the image; None without objects.
        pose: (4, 4) transform from the camera's optical frame; None if the coordinates are in it.
    """

    cloud: Cloud
    frame_id: str
    camera: Intrinsics | None = None
    pose: NDArray[np.float64] | None = None


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
        self._distortion_checked = False
        self._depth.start(node, settings.transport)

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

    def locate(
        self, masks: Mapping[int, NDArray[np.bool_]], header: Header
    ) -> LocatedObjects | None:
        """Compute the geometry of the objects in an image.

        Args:
            masks: (H, W) each, by the object's id; they may overlap.
            header: That of the image.

        Returns:
            The geometry; empty without visible objects, so that subscribers remove the old
            points. None if there is no depth; `status` says why.
        """
        try:
            located = self._locate(masks, header)
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

    def topics(self) -> list[str]:
        """Return the full names of the topics of depth and calibration."""
        return self._depth.topics()

    def close(self) -> None:
        """End the subscriptions."""
        self._depth.stop(self._node)
        if self._transforms:
            self._transforms.close()
            self._transforms = None

    def _locate(self, masks: Mapping[int, NDArray[np.bool_]], header: Header) -> LocatedObjects:
        settings = self._settings
        frame_id = settings.target_frame or header.frame_id
        if not any(mask.any() for mask in masks.values()):
            return LocatedObjects(cloud.EMPTY, frame_id)
        image, info = self._depth.nearest(header.stamp, settings.tolerance)
        if image.header.frame_id != header.frame_id:
            raise DepthUnavailable(
                f"depth is in the frame {image.header.frame_id!r}, the image in "
                f"{header.frame_id!r}: let the driver publish depth that is registered to the image"
            )
        depth = depth_view(image, info, settings.max_pixels)
        self._warn_of_distortion(info)
        pose = None
        if frame_id != header.frame_id and self._transforms:
            pose = self._transforms.lookup(frame_id, header.frame_id, header.stamp)
        return LocatedObjects(
            cloud.lift_masks(masks, depth, pose), frame_id, depth.intrinsics, pose
        )

    def _warn_of_distortion(self, info: CameraInfo) -> None:
        """Say once that an image which isn't rectified gives wrong places."""
        if self._distortion_checked:
            return
        self._distortion_checked = True
        topic, pixels = camera.topic(self._node), distortion(info)
        if pixels > NOTABLE_DISTORTION and "rect" not in topic:
            self._node.get_logger().warning(
                f"The lens shifts pixels by up to {pixels:.0f}, as camera_info says, but places "
                f"are computed for rectified images: if {topic} isn't rectified, remap `image` "
                "and `depth` to image_proc's rectified topics."
            )


def depth_view(image: DepthImage, info: CameraInfo, max_pixels: int = MAX_PIXELS) -> DepthView:
    """Read a depth image.

    Args:
        image: Encoded as REP 118 says: 32FC1 in metres or 16UC1 in millimetres; raw or as
            image_transport's compressedDepth.
        info: Its calibration.
        max_pixels: The most pixels of a compressed image that are decoded.

    Raises:
        DepthUnavailable: The image has another encoding.
        Uncalibrated: The calibration doesn't fit the image.
        ConversionError: The image is damaged.
    """
    if isinstance(image, CompressedImage):
        depth = decompress_depth(image, max_pixels)
    elif dtype := _DTYPES.get(image.encoding):
        depth = as_array(image, dtype, 1)[..., 0]  # (H, W)
    else:
        raise DepthUnavailable(
            f"depth images with encoding {image.encoding[:40]!r} are not supported: remap `depth` "
            "to one of 32FC1 (metres) or 16UC1 (millimetres)"
        )
    height, width = depth.shape
    return DepthView(depth, _UNITS[depth.dtype.kind], intrinsics(info, width, height))
