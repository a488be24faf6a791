"""The launch files as a ROS user starts them: `ros2 launch`, on a domain of their own."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.segzero.profile_files import write_profile
from tests.segzero.tiny_checkpoints import ANSWER_SCRIPT, save_qwen3_vl, save_sam2


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch_profile")
    reasoner = save_qwen3_vl(folder / "reasoner", ANSWER_SCRIPT)
    segmenter = save_sam2(folder / "segmenter")
    return write_profile(
        folder / "tiny.yaml", reasoner, segmenter, image_size=64, max_new_tokens=400
    )


@pytest.fixture
def ros_environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(1 + (os.getpid() + 50) % 100),
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }


@pytest.fixture
def ros2(ros_environment: dict[str, str]) -> Callable[..., str]:
    """Run a `ros2` command to its end and return what it prints."""

    def ros2(*words: str) -> str:
        result = subprocess.run(
            ["ros2", *words],
            env=ros_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return result.stdout + result.stderr

    return ros2


@pytest.fixture
def launch(
    ros_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a launch file of the package, or a path, with arguments.

    It is interrupted, as by ctrl-C, after the test.
    """
    processes = []

    def launch(name: str | Path, **arguments: object) -> subprocess.Popen[bytes]:
        file = [str(name)] if isinstance(name, Path) else ["segzero_ros", name]
        words = [f"{key}:={value}" for key, value in arguments.items()]
        with (tmp_path / f"{Path(name).name}.log").open("w") as log:
            process = subprocess.Popen(
                ["ros2", "launch", *file, *words],
                env=ros_environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        processes.append(process)
        return process

    yield launch
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
