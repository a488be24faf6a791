"""The programs of examples/, over the simulated camera and the demo profile, in one node."""

import os
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Point, PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation

from segzero_ros.client import Outcome, SegZeroClient
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero_ros.peer import Peer
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.waiting import DEADLINE

pytestmark = [pytest.mark.ros, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "/examples"
SCENE, RED_BALL, WITHOUT_BALL = 576, 3, 1
SIZE = (320, 240)


class Camera(Peer):
    """Changes the scene."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE, "tabletop_camera")

    def show(self, seed: int) -> None:
        assert self.set_parameter("seed", seed).successful


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    """The camera beside an active node; all examples share both."""
    os.environ["ROS_LOG_DIR"] = str(tmp_path_factory.mktemp("ros_log"))
    logs = tmp_path_factory.mktemp("logs")
    started = not rclpy.ok()
    if started:
        rclpy.init()
    width, height = SIZE
    processes = [
        NodeProcess(
            "tabletop_camera",
            NAMESPACE,
            logs / "camera.txt",
            seed=SCENE,
            width=width,
            height=height,
            rate=10.0,
        ),
        NodeProcess(
            "perception_node",
            NAMESPACE,
            logs / "node.txt",
            remap={
                "image": "camera/image_raw",
                "depth": "camera/depth/image_raw",
                "camera_info": "camera/camera_info",
            },
            autostart=True,
            use_depth=True,
            first_frame_timeout=60.0,
        ),
    ]
    try:
        with closing(Camera()) as camera:
            with SegZeroClient(camera.node) as client:  # until it is active and has depth
                reply = client.ask("the red ball", timeout=DEADLINE).wait(DEADLINE)
                assert reply.outcome is Outcome.ANSWERED
            yield camera
    finally:
        for process in processes:
            process.kill()
        if started:
            rclpy.shutdown()


def start(name: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *words]
    return subprocess.Popen(
        [*command, "--ros-args", "-r", f"__ns:={NAMESPACE}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status, and what it wrote to stdout and stderr."""
    try:
        out, error = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    return process.returncode, out, error


@pytest.fixture(scope="module")
def ball() -> np.ndarray:
    """The middle of what is seen of the red ball, in the camera's frame in metres."""
    scene = sample_scene(SCENE)
    with TabletopRenderer(*SIZE) as renderer:
        frame = renderer.render(scene)
        focal_length = renderer.focal_length(scene)
    rows, columns = np.nonzero(frame.ids == RED_BALL)
    z = frame.depth[rows, columns]
    x = (columns - (SIZE[0] - 1) / 2) * z / focal_length
    y = (rows - (SIZE[1] - 1) / 2) * z / focal_length
    return np.array([x.mean(), y.mean(), z.mean()])


@pytest.mark.parametrize(
    ("question", "number", "status"),
    [("all balls", 2, 0), ("the red ball", 1, 0), ("the purple cone", 0, 3)],
)
def test_count_says_how_many_there_are(
    camera: Camera, question: str, number: int, status: int
) -> None:
    code, out, error = end(start("count", question))
    assert (code, out.splitlines()[:1]) == (status, [str(number)]), error
    assert len(re.findall(r"box \d+,\d+ to \d+,\d+, score", out, re.M)) == number


def test_an_example_without_an_answer_says_why(camera: Camera) -> None:
    code, _, error = end(start("count", "the mug", "--node", "nobody", "--timeout", "0.5"))
    assert code == 1
    assert error.startswith("count: no active node /examples/nobody")


def received(camera: Camera, topic: str, qos: QoSProfile) -> Callable[[], PoseStamped]:
    """Subscribe, and return what waits for a message."""
    poses: queue.Queue[PoseStamped] = queue.Queue()
    camera.listen(PoseStamped, topic, poses, qos)
    return lambda: poses.get(timeout=DEADLINE)


def test_grasp_pose_is_at_the_object_and_comes_along_the_view(
    camera: Camera, ball: np.ndarray
) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    pose = received(camera, "grasp_pose", latched)
    program = start("grasp_pose", "the red ball")
    message = pose()
    program.send_signal(signal.SIGINT)
    code, _, error = end(program)
    assert (code, error) == (0, "")
    assert message.header.frame_id == "camera_optical_frame"
    assert np.linalg.norm(vector(message.pose.position) - ball) < 0.02
    x, _, z = axes(message)
    np.testing.assert_allclose(z, ball / np.linalg.norm(ball), atol=0.03)
    assert abs(x @ z) < 1e-6


def test_approach_stands_before_the_object_and_faces_it(camera: Camera, ball: np.ndarray) -> None:
    goal = received(camera, "goal_pose", QoSProfile(depth=1))
    code, _, error = end(start("approach", "the red ball", "--distance", "0.3"))
    assert (code, error) == (0, "")
    message = goal()
    x, _, up = axes(message)
    np.testing.assert_allclose(up, [0, -1, 0], atol=1e-6)
    level = ball * [1, 0, 1]
    way = np.linalg.norm(level)
    np.testing.assert_allclose(x, level / way, atol=0.03)
    np.testing.assert_allclose(vector(message.pose.position), x * (way - 0.3), atol=0.03)


def test_watch_reports_when_the_object_is_gone(camera: Camera) -> None:
    program = start("watch", "the red ball", "--patience", "0.5")
    assert program.stdout
    try:
        assert program.stdout.readline() == "in sight\n"
        camera.show(WITHOUT_BALL)
        code, out, error = end(program)
    finally:
        program.kill()
        camera.show(SCENE)
    assert code == 4, error
    assert re.fullmatch(r"out of sight\ngone for \d+\.\d s\n", out)


def vector(point: Point) -> np.ndarray:
    return np.array([point.x, point.y, point.z])


def axes(message: PoseStamped) -> np.ndarray:
    """The x, y and z axis of a pose."""
    q = message.pose.orientation
    return Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix().T
