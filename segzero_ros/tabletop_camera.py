"""A camera node for the simulated tabletop, with its ground truth."""

import sys
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from segzero_ros import parameters
from segzero_ros.images.conversions import from_array
from segzero_ros.parameters import parameter
from segzero_ros.qos import CAMERA_QOS, RELIABLE_QOS
from segzero_ros.shutdown import ignore_signals, until_shutdown
from segzero_ros.startup import init_ros, refuse_bad_configuration
from segzero_sim.motion import Motion, set_in_motion
from segzero_sim.scene import Scene, sample_scene
from segzero_sim.tabletop import NoOpenGL, TabletopRenderer, is_usable

DepthEncoding = Literal["32FC1", "16UC1"]


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """Parameters of the camera; `seed` may change while it runs.

    Each field's description is what `ros2 param describe` prints.
    """

    seed: int = parameter(
        576,  # it has what the documentation asks for: one red ball and one mug
        "Number of the scene; each number gives the same scene everywhere.",
        span=(0, 2**31 - 1),
    )
    scene_period: float = parameter(
        0.0,
        "Seconds until the next scene without cropped or hidden objects; 0 keeps the scene.",
        span=(0.0, 86400.0),
        read_only=True,
    )
    motion: bool = parameter(
        False,
        "Whether objects and camera move. Every frame is rendered then, which without a GPU is "
        "slower than the camera's rate for large images.",
        read_only=True,
    )
    rate: float = parameter(10.0, "Frames per second.", span=(0.1, 100.0), read_only=True)
    width: int = parameter(640, "Columns of the image.", span=(16, 4096), read_only=True)
    height: int = parameter(480, "Rows of the image.", span=(16, 4096), read_only=True)
    frame_id: str = parameter(
        "camera_optical_frame", "Frame of the images, z forward.", read_only=True
    )
    depth_encoding: DepthEncoding = parameter(  # noqa: RUF009
        "32FC1",
        "32FC1 publishes depth in metres, 16UC1 in millimetres.",
        choices=get_args(DepthEncoding),
        read_only=True,
    )


class TabletopCamera(Node):
    """Publishes colour, depth and calibration of a camera above the table, with one stamp.

    Spin it in the thread that created it: OpenGL requires that.

    Raises:
        NoOpenGL: This machine can't render.
        BadParameter: A parameter has a value that can't be used.
    """

    def __init__(self) -> None:
        super().__init__("tabletop_camera")
        parameters.declare(self, CameraParameters)
        self._params = params = parameters.read(self, CameraParameters)
        self._renderer = TabletopRenderer(params.width, params.height)
        self._ids_publisher = self.create_publisher(Image, "~/ids", RELIABLE_QOS)
        self._image_publisher = self.create_publisher(Image, "camera/image_raw", CAMERA_QOS)
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
        self._image = from_array(frame.rgb, Header())
        self._ids = from_array(frame.ids, Header())
        self._depth = from_array(_encode(frame.depth, self._params.depth_encoding), Header())
        self._info = _calibration(
            self._renderer.focal_length(scene), self._params.width, self._params.height
        )

    def _publish(self) -> None:
        now = self.get_clock().now()
        wants_depth = self._depth_publisher.get_subscription_count() > 0
        if self._motion:
            self._draw(self._motion.at(_seconds(self._shown_at, now)), wants_depth)
        header = Header(stamp=now.to_msg(), frame_id=self._params.frame_id)
        for message in (self._ids, self._depth, self._info, self._image):
            message.header = header
        self._ids_publisher.publish(self._ids)  # first: the ground truth comes before an answer
        if wants_depth:
            self._depth_publisher.publish(self._depth)
        self._info_publisher.publish(self._info)
        self._image_publisher.publish(self._image)


def _encode(metres: NDArray[np.float32], encoding: DepthEncoding) -> NDArray:
    """Depth as in REP 118."""
    if encoding == "32FC1":
        return metres
    return np.rint(metres * 1000).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def _calibration(focal_length: float, width: int, height: int) -> CameraInfo:
    """A pinhole without distortion; its principal point is the image centre."""
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
    """Run the node until ctrl-C or SIGTERM.

    Args:
        args: ROS arguments; None takes those of the process.

    Returns:
        0, or 1 if this machine can't render; stderr says why.
    """
    try:
        with until_shutdown():
            _run(args)
    except NoOpenGL as error:
        print(f"tabletop_camera: {error}", file=sys.stderr)
        return 1
    return 0


def _run(args: list[str] | None) -> None:
    init_ros(args)
    with refuse_bad_configuration():
        camera = TabletopCamera()
    with until_shutdown():
        rclpy.spin(camera)
    ignore_signals()
    camera.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
