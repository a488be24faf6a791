"""The mask, and the picture for people."""

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segzero import overlay
from segzero.types import Segmentation
from segzero_ros.images.compressed import to_jpeg
from segzero_ros.images.conversions import from_array
from segzero_ros.images.frames import Frame
from segzero_ros.qos import create_output
from segzero_ros.shutdown import ignoring_shutdown


class PictureOutputs:
    """Publishes ~/mask, ~/overlay and ~/overlay/compressed; for any thread.

    Args:
        node: Gets the publishers; its parameter `mask_encoding` says how masks are written.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._mask = create_output(node, Image, "~/mask")
        self._overlay = create_output(node, Image, "~/overlay")
        self._overlay_jpeg = create_output(node, CompressedImage, "~/overlay/compressed")

    def publish(self, frame: Frame, segmentation: Segmentation) -> Image:
        """Publish what subscribers want of a frame; return the message of its mask."""
        header = frame.message.header
        raw, jpeg = (p.get_subscription_count() for p in (self._overlay, self._overlay_jpeg))
        mask = self.mask(segmentation, header)
        with ignoring_shutdown(self._node.context):
            self._mask.publish(mask)
            if raw or jpeg:
                picture = overlay.draw(frame.pixels(), segmentation)
            if raw:
                self._overlay.publish(from_array(picture, header))
            if jpeg:
                self._overlay_jpeg.publish(to_jpeg(picture, header))
        return mask

    def mask(self, segmentation: Segmentation, header: Header) -> Image:
        """Make the message of a mask, in the encoding that the parameter names."""
        wide = self._node.get_parameter("mask_encoding").value == "mono16"
        mask = from_array(segmentation.mask(np.uint16 if wide else np.uint8), header)
        if wide:
            mask.encoding = "mono16"  # 16UC1 would be depth
        return mask
