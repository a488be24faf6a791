"""Real ROS, cut off from everybody else's, and real (tiny) checkpoints on disk."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)  # Fast DDS makes its ports from it
# A killed process can leave its shared memory port locked; the next one with the same port is deaf.
os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"

import pytest
import rclpy

from segzero.pipeline import SegZero
from segzero_ros.shared_models import SharedModels
from tests.segzero.profile_files import write_profile
from tests.segzero.tiny_checkpoints import ANSWER_SCRIPT, save_qwen3_vl, save_sam2
from tests.segzero_ros.models import Models, Watched
from tests.segzero_ros.moving_scene import MakeFollower
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.robot import Robot

SCRIPTS = {
    "answer": ANSWER_SCRIPT,
    "nothing": ("<think>", " empty table ", "</think>", "<answer>", "[]", "</answer>"),
    "malformed": ("<think>", " no answer "),
    "slow": (*(f" or{number}" for number in range(300)), *ANSWER_SCRIPT),
    "endless": tuple(f" and{number}" for number in range(100)),
}
"""What the reasoner of each test profile writes."""

Load = Callable[[str, str], SegZero]

_numbers = count()


@pytest.fixture(scope="session", autouse=True)
def ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start rclpy in this process, unless tests of another folder have."""
    if rclpy.ok():
        yield
        return
    os.environ["ROS_LOG_DIR"] = str(tmp_path_factory.mktemp("ros_log"))
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope="session")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Profiles on disk by the name of their reasoner's script."""
    folder = tmp_path_factory.mktemp("profiles")
    segmenter = save_sam2(folder / "segmenter")
    paths = {}
    for name, script in SCRIPTS.items():
        endless = name == "endless"
        paths[name] = write_profile(
            folder / f"{name}.yaml",
            save_qwen3_vl(folder / name, script, endless=endless),
            segmenter,
            image_size=64,
            max_new_tokens=30_000 if endless else 400,
        )
    return paths


@pytest.fixture
def namespace() -> str:
    """A ROS namespace that no other test uses."""
    return f"/test{next(_numbers)}"


@pytest.fixture
def start_node(namespace: str, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start a node of segzero_ros as a process; arguments as `NodeProcess` has them."""
    processes = []

    def start(module: str, **options: Any) -> NodeProcess:
        log = tmp_path / f"{module}.txt"
        processes.append(NodeProcess(module, namespace, log, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture
def operator(namespace: str) -> Iterator[Operator]:
    operator = Operator(namespace)
    yield operator
    operator.close()


@pytest.fixture(scope="session")
def load_shared(profiles: dict[str, Path]) -> Iterator[Load]:
    """Models of the test profiles, loaded once for all tests; those of others as a node does it."""
    models, kept = SharedModels(), ExitStack()
    known: set[tuple[str, str]] = set()

    def load(profile: str, device: str) -> SegZero:
        if profile not in map(str, profiles.values()):
            return SegZero.load(profile, device)
        if (profile, device) not in known:
            kept.callback(models.load(profile, device).close)
            known.add((profile, device))
        return models.load(profile, device)

    with kept:
        yield load


@pytest.fixture
def make_robot(
    namespace: str, operator: Operator, profiles: dict[str, Path], load_shared: Load
) -> Iterator[Callable[..., Robot]]:
    """Make a perception node in this process from the name of a test profile."""
    robots: list[Robot] = []

    def make(profile: str = "answer", **options: object) -> Robot:
        if not robots:  # two must not compute with the same models at once
            options = {"load": load_shared, **options}
        robot = Robot(operator, namespace, str(profiles.get(profile, profile)), **options)
        robots.append(robot)
        return robot

    yield make
    for robot in robots:
        robot.close()


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    """An active node whose reasoner finds one object in every picture."""
    robot = make_robot()
    robot.operator.activate()
    return robot


@pytest.fixture
def make_watched(
    make_robot: Callable[..., Robot], load_shared: Load
) -> Callable[..., tuple[Robot, Watched]]:
    """Make an active node with a watched reasoner."""

    def make(profile: str, *errors: Exception) -> tuple[Robot, Watched]:
        watched: list[Watched] = []

        def load(name: str, device: str) -> SegZero:
            segzero = load_shared(name, device)
            watched.append(Watched(segzero._reasoner, list(errors)))
            segzero._reasoner = watched[0]  # type: ignore[assignment]
            return segzero

        robot = make_robot(profile, load=load)
        robot.operator.activate()
        return robot, watched[0]

    return make


@pytest.fixture
def make_follower(make_robot: Callable[..., Robot], load_shared: Load) -> MakeFollower:
    """Make an active node that follows, with its models; options as `Robot` has them."""

    def make(profile: str = "answer", **options: object) -> tuple[Robot, Models]:
        loaded: list[Models] = []

        def load(name: str, device: str) -> Models:
            loaded.append(Models.of(load_shared(name, device)))
            return loaded[0]

        robot = make_robot(profile, load=load, **{"follow": True, **options})
        robot.operator.activate()
        return robot, loaded[0]

    return make


@pytest.fixture
def follower(make_follower: MakeFollower) -> tuple[Robot, Models]:
    return make_follower()
