"""What colcon installs: complete, and usable from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix, get_package_share_directory


def python(program: str, cwd: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    "module",
    [
        "segzero_console.console",
        "segzero_ros.annotate",
        "segzero_ros.cameras",
        "segzero_ros.client.ask",
        "segzero_ros.perception_node",
        "segzero_ros.tabletop_camera",
    ],
)
def test_executables_are_where_ros2_run_looks(module: str) -> None:
    name = module.rpartition(".")[2]
    executable = Path(get_package_prefix("segzero_ros"), "lib", "segzero_ros", name)
    assert os.access(executable, os.X_OK)
    assert f"from {module} import main" in executable.read_text()


@pytest.mark.slow
def test_an_executable_starts_with_the_python_that_has_the_models(tmp_path: Path) -> None:
    executable = Path(get_package_prefix("segzero_ros"), "lib", "segzero_ros", "ask")
    interpreter = executable.read_text().splitlines()[0].removeprefix("#!")
    subprocess.run([interpreter, "-c", "import rclpy, torch"], cwd=tmp_path, check=True)
    result = subprocess.run([executable, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: ask")


@pytest.mark.parametrize(
    "name",
    [
        "launch/perception.launch.py",
        "launch/demo.launch.py",
        "launch/console.launch.py",
        "config/segzero.yaml",
        "config/fastdds.xml",
        "msg/Segmentation.msg",
        "package.xml",
    ],
)
def test_shared_files_are_where_ros_looks(name: str) -> None:
    assert Path(get_package_share_directory("segzero_ros"), name).is_file()


def test_profiles_are_found_from_any_folder(tmp_path: Path) -> None:
    program = "from segzero import profiles; print(profiles.profile_names())"
    assert "'demo'" in python(program, tmp_path).stdout


def test_fast_dds_takes_its_profile_without_a_word(tmp_path: Path) -> None:
    profile = Path(get_package_share_directory("segzero_ros"), "config", "fastdds.xml")
    program = "import rclpy; rclpy.init(); rclpy.create_node('trial').destroy_node()"
    result = python(program, tmp_path, FASTRTPS_DEFAULT_PROFILES_FILE=profile)
    assert result.stdout + result.stderr == ""
