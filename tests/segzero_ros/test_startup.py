"""How a process starts: one line and exit status 2 if its settings can't be used."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.slow

# In processes of their own: rclpy can be initialised once. The node has no models, so that it
# starts at once.
PROGRAM = """
import rclpy
from segzero_ros import parameters
from segzero_ros.perception_parameters import Parameters
from segzero_ros.startup import init_ros, refuse_bad_configuration

init_ros()
with refuse_bad_configuration():
    node = rclpy.create_node("segzero")
    parameters.declare(node, Parameters)
node.get_logger().info(f"period {parameters.read(node, Parameters).reask_period}")
"""


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--ros-args", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


def params_file(folder: Path, line: str) -> str:
    path = folder / "params.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {line}\n")
    return str(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("proflie: demo", "no parameter proflie: did you mean profile?"),
        ("reask_period: ten", "reask_period must be a number, not 'ten'"),
        ("profile: {name: demo}", "no parameter profile.name"),
        (
            "qos_overrides: {/a: {publisher: {reliability: besteffort}}}",
            "/a.publisher.reliability must be one of reliable, best_effort, not 'besteffort'",
        ),
        (
            "qos_overrides: {/a: {subscription: {depth: 0}}}",
            "/a.subscription.depth must be a whole number from 1",
        ),
        ("qos_overrides: {/a: {subscriber: {depth: 5}}}", "publisher or subscription, not"),
        ("qos_overrides: {a: {publisher: {depth: 5}}}", "must have the form qos_overrides./TOPIC"),
        ("qos_overrides: {/a: {publisher: {dept: 5}}}", "must be one of history, depth"),
    ],
)
def test_a_file_with_bad_parameters_ends_with_one_line(
    tmp_path: Path, line: str, reason: str
) -> None:
    done = start("--params-file", params_file(tmp_path, line))
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert told.startswith("segzero: ")
    assert reason in told


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--params-file", "/nowhere/params.yaml"), "/nowhere/params.yaml doesn't exist"),
        (("-r", "__ns:=3x"), "__ns:=3x"),
        (("--log-level", "funny"), "funny"),
        (("-p", "history:=x"), "history must be a whole number"),
    ],
)
def test_bad_arguments_end_without_a_traceback(arguments: tuple[str, ...], reason: str) -> None:
    done = start(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_whole_number_in_a_file_is_taken_for_a_number(tmp_path: Path) -> None:
    done = start("--params-file", params_file(tmp_path, "reask_period: 10"))
    assert done.returncode == 0
    assert "period 10.0" in done.stderr


@pytest.mark.parametrize("variable", ["HOME", "ROS_HOME", "ROS_LOG_DIR"])
def test_where_no_log_can_be_written_the_node_starts_and_says_so(
    tmp_path: Path, variable: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    unset = dict.fromkeys(("ROS_HOME", "ROS_LOG_DIR"), "")
    done = start(**unset | {variable: str(file / "home"), "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "can't write ROS logs" in done.stderr.splitlines()[0]
    assert list(tmp_path.glob("ros_log_*/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("module", "status"), [("perception_node", 0), ("tabletop_camera", 0), ("client.ask", 130)]
)
def test_a_signal_during_the_imports_is_no_traceback(
    tmp_path: Path, module: str, status: int, number: int
) -> None:
    template = Path(__file__).parents[2] / "scripts" / "executable.py.in"
    program = tmp_path / "program.py"
    program.write_text(template.read_text().replace("@module@", f"segzero_ros.{module}"))
    with subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE, text=True) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: "_multiarray_umath" in maps.read_text(), "the import of NumPy")
        process.send_signal(number)
        _, said = process.communicate()
    assert (process.returncode, said) == (status, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("profile", "mark"), [("nowhere", "Can't load"), ("demo", "Loading"), ("demo", "Listening")]
)
def test_a_signal_ends_the_node_with_status_0(profile: str, mark: str, number: int) -> None:
    command = [sys.executable, "-m", "segzero_ros.perception_node", "--ros-args"]
    command += ["-p", "autostart:=true", "-p", f"profile:={profile}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = iter(process.stderr.readline, "")
        said = next(line for line in lines if mark in line)
        process.send_signal(number)
        said += process.communicate()[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said
