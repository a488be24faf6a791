"""A camera node that looks at the simulated tabletop, and tells the truth about what it shows."""

import sys
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from segzero_ros import parameters
from segzero_ros.conversions import from_array
from segzero_ros.parameters import parameter
from segzero_ros.shutdown import until_shutdown
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import NoOpenGL, TabletopRenderer, is_usable

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TRUTH_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


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
    rate: float = parameter(10.0, "Frames per second.", span=(0.1, 100.0), read_only=True)
    width: int = parameter(640, "Columns of the image.", span=(16, 4096), read_only=True)
    height: int = parameter(480, "Rows of the image.", span=(16, 4096), read_only=True)
    frame_id: str = parameter(
        "camera_optical_frame", "Frame of the images, z forward.", read_only=True
    )


class TabletopCamera(Node):
    """Publishes a still scene again and again, each time with a stamp of its own.

    Spin it in the thread that made it: OpenGL demands that. Raises NoOpenGL.
    """

    def __init__(self) -> None:
        super().__init__("tabletop_camera")
        parameters.declare(self, CameraParameters)
        wanted = parameters.read(self, CameraParameters)
        self._frame_id = wanted.frame_id
        self._renderer = TabletopRenderer(wanted.width, wanted.height)
        self._show(wanted.seed)
        self.add_post_set_parameters_callback(self._on_set_parameters)
        self._ids_publisher = self.create_publisher(Image, "~/ids", TRUTH_QOS)
        self._picture_publisher = self.create_publisher(Image, "camera/image_raw", CAMERA_QOS)
        self.create_timer(1 / wanted.rate, self._publish)
        if wanted.scene_period:
            self.create_timer(wanted.scene_period, self._show_next)

    def _show(self, seed: int) -> None:
        frame = self._renderer.render(sample_scene(seed), depth=False)
        self._picture = from_array(frame.rgb, Header())
        self._ids = from_array(frame.ids, Header())

    def _show_next(self) -> None:
        seed = self.get_parameter("seed").value + 1
        while not is_usable(scene := sample_scene(seed), self._renderer.render(scene, depth=False)):
            seed += 1
        self.set_parameters([Parameter("seed", value=seed)])

    def _on_set_parameters(self, changes: list[Parameter]) -> None:
        for change in changes:
            if change.name == "seed":
                self._show(change.value)

    def _publish(self) -> None:
        stamp = self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self._frame_id)
        self._ids.header = self._picture.header = header
        self._ids_publisher.publish(self._ids)  # first, so that the truth is there before an answer
        self._picture_publisher.publish(self._picture)


def main(args: list[str] | None = None) -> int:
    """Run the node until ctrl-C or SIGTERM; returns 1 where no OpenGL library is installed."""
    rclpy.init(args=args)
    try:
        camera = TabletopCamera()
    except NoOpenGL as error:
        print(f"tabletop_camera: {error}", file=sys.stderr)
        return 1
    with until_shutdown():
        rclpy.spin(camera)
    camera.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
