"""A camera node that looks at the simulated tabletop, and publishes the ground truth about what it
shows."""

import sys
from dataclasses import dataclass

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from segzero_ros import parameters
from segzero_ros.images.conversions import from_array
from segzero_ros.parameters import BadParameter, parameter
from segzero_ros.shutdown import until_shutdown
from segzero_sim.motion import Motion, set_in_motion
from segzero_sim.scene import Scene, sample_scene
from segzero_sim.tabletop import NoOpenGL, TabletopRenderer, is_usable

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
GROUND_TRUTH_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """Parameters of the camera; `seed` may change while it runs."""

    seed: int = parameter(
        0, "The scene that belongs to this number; the same everywhere.", span=(0, 2**31 - 1)
    )
    scene_period: float = parameter(
        0.0,
        "Seconds after which the next scene comes, in which no object is cut off or hidden; "
        "0 keeps the scene.",
        span=(0.0, 86400.0),
        read_only=True,
    )
    motion: bool = parameter(
        False,
        "Whether objects and camera move. Every frame is drawn anew, which without a GPU takes "
        "longer than a frame's time in large pictures.",
        read_only=True,
    )
    rate: float = parameter(10.0, "Frames per second.", span=(0.1, 100.0), read_only=True)
    width: int = parameter(640, "Columns of the image.", span=(16, 4096), read_only=True)
    height: int = parameter(480, "Rows of the image.", span=(16, 4096), read_only=True)
    frame_id: str = parameter(
        "camera_optical_frame", "Frame of the images, z forward.", read_only=True
    )
    depth_encoding: str = parameter(
        "32FC1",
        "32FC1 publishes depth in metres, 16UC1 in millimetres.",
        choices=("32FC1", "16UC1"),
        read_only=True,
    )


class TabletopCamera(Node):
    """Publishes what a colour and depth camera above the table sees, with one stamp for all.

    Spin it in the thread that made it: OpenGL demands that. Raises NoOpenGL, or BadParameter.
    """

    def __init__(self) -> None:
        super().__init__("tabletop_camera")
        parameters.declare(self, CameraParameters)
        self._params = params = parameters.read(self, CameraParameters)
        self._renderer = TabletopRenderer(params.width, params.height)
        self._ids_publisher = self.create_publisher(Image, "~/ids", GROUND_TRUTH_QOS)
        self._picture_publisher = self.create_publisher(Image, "camera/image_raw", CAMERA_QOS)
        self._depth_publisher = self.create_publisher(Image, "camera/depth/image_raw", CAMERA_QOS)
        self._info_publisher = self.create_publisher(CameraInfo, "camera/camera_info", CAMERA_QOS)
        self._show(params.seed)
        self.add_post_set_parameters_callback(self._on_set_parameters)
        self.create_timer(1 / params.rate, self._publish)
        if params.scene_period:
            self.create_timer(params.scene_period, self._show_next)

    def _show(self, seed: int) -> None:
        scene = sample_scene(seed)
        self._motion: Motion | None = set_in_motion(scene) if self._params.motion else None
        self._shown_at = self.get_clock().now()
        self._draw(scene, depth=True)

    def _show_next(self) -> None:
        seed = self.get_parameter("seed").value + 1
        while not is_usable(scene := sample_scene(seed), self._renderer.render(scene, depth=False)):
            seed += 1
        self.set_parameters([Parameter("seed", value=seed)])

    def _on_set_parameters(self, changes: list[Parameter]) -> None:
        for change in changes:
            if change.name == "seed":
                self._show(change.value)

    def _draw(self, scene: Scene, depth: bool) -> None:
        frame = self._renderer.render(scene, depth)
        self._picture = from_array(frame.rgb, Header())
        self._ids = from_array(frame.ids, Header())
        self._depth = from_array(_encoded(frame.depth, self._params.depth_encoding), Header())
        self._info = _calibration(
            self._renderer.focal_length(scene), self._params.width, self._params.height
        )

    def _publish(self) -> None:
        now = self.get_clock().now()
        wants_depth = self._depth_publisher.get_subscription_count() > 0
        if self._motion:
            self._draw(self._motion.at(_seconds(self._shown_at, now)), wants_depth)
        header = Header(stamp=now.to_msg(), frame_id=self._params.frame_id)
        for message in (self._ids, self._depth, self._info, self._picture):
            message.header = header
        self._ids_publisher.publish(
            self._ids
        )  # first, so that the ground truth is there before an answer
        if wants_depth:
            self._depth_publisher.publish(self._depth)
        self._info_publisher.publish(self._info)
        self._picture_publisher.publish(self._picture)


def _encoded(metres: NDArray[np.float32], encoding: str) -> NDArray:
    """Depth as REP 118 has it."""
    if encoding == "32FC1":
        return metres
    return np.rint(metres * 1000).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def _calibration(focal_length: float, width: int, height: int) -> CameraInfo:
    """A pinhole without distortion that looks through the middle of the picture."""
    cx, cy = (width - 1) / 2, (height - 1) / 2
    f = focal_length
    return CameraInfo(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def _seconds(start: Time, now: Time) -> float:
    return float((now - start).nanoseconds / 1e9)


def main(args: list[str] | None = None) -> int:
    """Run the node until ctrl-C or SIGTERM; returns 1 where it can't start, and says why."""
    rclpy.init(args=args)
    try:
        camera = TabletopCamera()
    except (NoOpenGL, BadParameter) as error:
        print(f"tabletop_camera: {error}", file=sys.stderr)
        return 1
    with until_shutdown():
        rclpy.spin(camera)
    camera.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
