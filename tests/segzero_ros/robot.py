"""A perception node in this process, over real DDS."""

from typing import Any

import numpy as np
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segzero_ros.images.conversions import from_array
from segzero_ros.perception_node import PerceptionNode
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.spinning import Spinning
from tests.segzero_ros.waiting import wait_until


class Robot:
    """The node, spinning, and the operator that talks to it.

    options: further parameters of the node, which doesn't follow without them; `load` replaces
    `SegZero.load`.
    """

    def __init__(self, operator: Operator, namespace: str, profile: str, **options: Any) -> None:
        self.operator = operator
        load: dict[str, Any] = {"load": options.pop("load")} if "load" in options else {}
        # One picture is enough for a test that may be slow.
        overrides = {
            "profile": profile,
            "first_frame_timeout": 0.2,
            "max_frame_age": 600.0,
            "follow": False,
            **options,
        }
        self.node = PerceptionNode(
            namespace=namespace,
            parameter_overrides=[Parameter(name, value=v) for name, v in overrides.items()],
            **load,
        )
        self._spinning = Spinning(self.node)

    def close(self) -> None:
        self._spinning.close()
        self.node.close()
        self.node.destroy_node()

    def see(self, image: Image | CompressedImage) -> None:
        """Show an image until the node has it: best effort may lose the first."""

        def seen() -> bool:
            self.operator.show(image)
            frame = self.node.frames.newest()
            return frame is not None and frame.message.header == image.header

        wait_until(seen, "the image")


def picture(seconds: int, width: int = 64, height: int = 48) -> Image:
    """A camera image with a stamp and a frame."""
    header = Header(frame_id="camera_optical_frame")
    header.stamp.sec, header.stamp.nanosec = seconds, 5
    noise = np.random.default_rng(seconds).integers(0, 256, (height, width, 3), np.uint8)
    return from_array(noise, header)
