"""What the launch files promise, seen from outside."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip(
    "launch_ros", reason="launch_ros is not here: it comes with an installed ROS 2, not with pip"
)

from launch import LaunchContext  # type: ignore[attr-defined]
from launch.launch_description_sources import PythonLaunchDescriptionSource

pytestmark = [pytest.mark.ros, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "launch"
EXPECTED = {
    "namespace",
    "params_file",
    "image",
    "depth",
    "camera_info",
    "use_depth",
    "profile",
    "device",
    "autostart",
    "respawn",
    "use_sim_time",
    "log_level",
    "python",
}


@pytest.mark.parametrize("name", ["perception.launch.py", "demo.launch.py"])
def test_the_usual_arguments_are_there_and_described(name: str) -> None:
    source = PythonLaunchDescriptionSource(str(FOLDER / name))
    arguments = source.get_launch_description(LaunchContext()).get_launch_arguments()
    assert {argument.name for argument in arguments} >= EXPECTED
    assert [argument.name for argument in arguments if len(argument.description) < 10] == []


def test_perception_starts_active_and_listens_where_it_is_told(
    launch: Callable[..., None], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    launch("perception.launch.py", namespace="bot", profile=tiny_profile, image="/front/image")
    answer = ask(ros2, "--node=/bot/segzero")
    assert answer["state"] == "failed"
    assert "nothing publishes on /front/image" in answer["error"]


def test_without_autostart_the_node_waits_for_a_transition(
    launch: Callable[..., None], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    launch("perception.launch.py", profile=tiny_profile, autostart="false")
    states = (ros2("lifecycle", "get", "/segzero", "--no-daemon") for _ in range(60))
    assert next(state for state in states if "not found" not in state).startswith("unconfigured")


def test_the_demo_brings_its_camera(
    launch: Callable[..., None], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    launch("demo.launch.py", profile=tiny_profile)
    answer = ask(ros2)
    assert answer["state"] == "answered"
    assert answer["objects"]


def test_a_killed_node_comes_back_and_answers(
    launch: Callable[..., subprocess.Popen[bytes]], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    process = launch("demo.launch.py", profile=tiny_profile)
    assert ask(ros2)["state"] == "answered"
    killed = perception_of(process)
    assert killed
    os.kill(killed, signal.SIGKILL)
    while perception_of(process) in (killed, None):
        time.sleep(0.1)
    assert ask(ros2)["state"] == "answered"


def test_without_respawn_a_killed_node_stays_away(
    launch: Callable[..., subprocess.Popen[bytes]], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    process = launch("perception.launch.py", profile=tiny_profile, respawn="false")
    ask(ros2)
    node = perception_of(process)
    assert node
    os.kill(node, signal.SIGKILL)
    assert process.wait(60) is not None  # nothing is left to do


def test_a_node_that_keeps_ending_is_given_up(
    launch: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = launch("perception.launch.py", python=shutil.which("false"))
    assert process.wait(60) is not None
    log = (tmp_path / "perception.launch.py.log").read_text()
    assert log.count("exit code 1") == 6
    assert "is not started again: it ended 6 times in 300 s" in log


@pytest.mark.parametrize("line", ["proflie: demo", "history: many", "reask: sometimes"])
def test_a_node_with_bad_settings_is_not_started_again(
    launch: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, line: str
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(f"/**:\n  ros__parameters:\n    {line}\n")
    assert launch("perception.launch.py", params_file=params).wait(60) is not None
    log = (tmp_path / "perception.launch.py.log").read_text()
    assert log.count("exit code 2") == 1
    assert "is not started again: its settings can't be used" in log


def test_a_missing_params_file_is_told(
    launch: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert launch("perception.launch.py", params_file="/nowhere.yaml").wait(60) == 1
    log = (tmp_path / "perception.launch.py.log").read_text()
    assert "the params_file /nowhere.yaml doesn't exist" in log


def test_each_camera_has_a_node_of_its_own_in_one_process(
    launch: Callable[..., subprocess.Popen[bytes]], ros2: Callable[..., str], tiny_profile: Path
) -> None:
    process = launch(
        "cameras.launch.py",
        cameras="front, rear",
        image="/{camera}/color/image_raw",
        profile=tiny_profile,
    )
    for camera in ("front", "rear"):
        error = ask(ros2, f"--node=/{camera}/segzero")["error"]
        assert f"nothing publishes on /{camera}/color/image_raw" in error
    assert perception_of(process) is None
    assert len(children(process)) == 1


INCLUDED = """
from pathlib import Path
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

def generate_launch_description():
    source = PythonLaunchDescriptionSource("{file}")
    include = IncludeLaunchDescription(source, launch_arguments={{{arguments}}}.items())
    return LaunchDescription([GroupAction([PushRosNamespace("robot"), include])])
"""


def test_a_pushed_namespace_stands_before_the_cameras_names(
    launch: Callable[..., subprocess.Popen[bytes]],
    ros2: Callable[..., str],
    tiny_profile: Path,
    tmp_path: Path,
) -> None:
    outer = tmp_path / "outer.launch.py"
    arguments = f"'cameras': 'front,rear', 'namespace': 'head', 'profile': '{tiny_profile}'"
    outer.write_text(INCLUDED.format(file=FOLDER / "cameras.launch.py", arguments=arguments))
    launch(outer)
    for camera in ("front", "rear"):
        error = ask(ros2, f"--node=/robot/head/{camera}/segzero")["error"]
        assert f"nothing publishes on /{camera}/image_raw" in error


def perception_of(launched: subprocess.Popen[bytes]) -> int | None:
    """The process id of the perception node that a launch file runs."""
    return next((pid for pid, line in children(launched) if b"perception_node" in line), None)


def children(launched: subprocess.Popen[bytes]) -> list[tuple[int, bytes]]:
    """The process ids and command lines of what a launch file runs."""
    found = []
    for child in Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it may end meanwhile
            found.append((int(child), Path(f"/proc/{child}/cmdline").read_bytes()))
    return found


def ask(ros2: Callable[..., str], *options: str) -> dict:
    """What the `ask` executable prints; after it, `ros2 run` may speak of the exit status."""
    return json.loads(
        ros2("run", "segzero_ros", "ask", "a ball", "--json", *options).splitlines()[0]
    )
