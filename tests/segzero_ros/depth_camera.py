"""A camera with depth for a node in this process."""

import queue

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from segzero_ros.images.conversions import from_array
from segzero_ros.msg import Segmentation
from segzero_ros.qos import CAMERA_QOS
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import wait_until

WIDTH, HEIGHT = 64, 48
PINHOLE = CameraInfo(
    width=WIDTH, height=HEIGHT, p=[60.0, 0.0, 31.5, 0.0, 0.0, 60.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]
)


def stamp(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


def depth(seconds: float, metres: float = 2.0, frame: str = "camera_optical_frame") -> Image:
    """A wall that faces the camera."""
    header = Header(stamp=stamp(seconds), frame_id=frame)
    return from_array(np.full((HEIGHT, WIDTH), metres, np.float32), header)


class DepthCamera:
    """Publishes colour, depth and calibration for a node that is asked."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        node = robot.operator.node
        self.points: queue.Queue[PointCloud2] = queue.Queue()
        subscription = robot.operator.listen(PointCloud2, "segzero/points", self.points)
        wait_until(subscription.get_publisher_count, "~/points")
        self._depth = node.create_publisher(Image, "depth", CAMERA_QOS)
        self._info = node.create_publisher(CameraInfo, "camera_info", CAMERA_QOS)
        for publisher in (self._depth, self._info):
            wait_until(publisher.get_subscription_count, publisher.topic_name)

    def answer(self, second: int, image: Image) -> Segmentation:
        """Show colour of a second with the depth `image` until the node has both; ask."""
        locator = self._robot.node._reporter.outputs.locator
        assert locator is not None
        received = locator._depth
        self._robot.see(picture(second))

        def seen() -> bool:
            self._info.publish(PINHOLE)
            self._depth.publish(image)
            known = [item.header for item in received._images]
            return image.header in known and received._info is not None

        wait_until(seen, "depth")
        return self._robot.operator.answer("the red ball")
