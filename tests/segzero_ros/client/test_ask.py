"""The command: the thinking as it is written, the answer, and a clear end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.segzero_ros.filming import filming
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE

pytestmark = pytest.mark.ros


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m segzero_ros.client.ask`."""
    return subprocess.run(
        [sys.executable, "-m", "segzero_ros.client.ask", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=os.environ,
        check=False,
    )


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m segzero_ros.client.ask` while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "segzero_ros.client.ask", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def test_the_command_prints_reasoning_and_objects(robot: Robot, namespace: str) -> None:
    robot.see(picture(4))
    done = command("the red ball", "--ros-args", "-r", f"__ns:={namespace}")
    assert (done.returncode, done.stderr) == (0, "")
    reasoning, state, item = done.stdout.splitlines()
    assert reasoning.strip() == "the red thing"
    assert state == "answered: the red ball"
    assert item.startswith("1: box 6,10 to 32,29, ")


def test_the_command_prints_json(robot: Robot, namespace: str) -> None:
    robot.see(picture(4))
    done = command("the red ball", "--json", "--node", f"{namespace}/segzero")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["state"], result["stamp"]) == ("answered", "4.000000005")
    assert result["objects"][0]["box"] == [6, 10, 32, 29]


def test_the_command_fails_with_the_reason_of_the_node(robot: Robot, namespace: str) -> None:
    done = command("the red ball", "--node", f"{namespace}/segzero")
    assert done.returncode == 1
    assert done.stdout.startswith("failed: no image came")


def test_the_command_fails_without_a_node() -> None:
    done = command("the red ball", "--timeout", "0.2", "--node", "/nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no active node /nobody" in done.stderr


def test_the_command_refuses_a_bad_question() -> None:
    done = command("  ")
    assert done.returncode == 2
    assert "the question is empty" in done.stderr


def test_the_thinking_is_printed_as_it_is_written_and_ctrl_c_cancels(
    make_robot: Callable[..., Robot], namespace: str
) -> None:
    robot = make_robot("endless")
    robot.operator.activate()
    robot.see(picture(4))
    with running("the red ball", "--node", f"{namespace}/segzero") as ask:
        assert ask.stdout is not None and ask.stderr is not None
        assert ask.stdout.read(4) == "and0"  # the model thinks on for minutes
        ask.send_signal(signal.SIGINT)
        assert ask.wait(DEADLINE) == 130
        assert ask.stderr.read() == "ask: interrupted\n"
    assert "cancelled" in robot.operator.result().error


def test_a_question_given_up_is_cancelled(make_robot: Callable[..., Robot], namespace: str) -> None:
    robot = make_robot("endless")
    robot.operator.activate()
    robot.see(picture(4))
    words = ("the red ball", "--node", f"{namespace}/segzero", "--timeout")
    timeout = 1  # in which a busy host may not even find the node
    while (done := command(*words, str(timeout))).stderr.startswith("ask: no active node"):
        timeout *= 2
    assert (done.returncode, done.stderr) == (1, "ask: no answer in time\n")
    assert "cancelled" in robot.operator.result().error


@pytest.mark.parametrize("form", ["text", "json"])
def test_follow_prints_frames_until_ctrl_c(
    make_robot: Callable[..., Robot], namespace: str, form: str
) -> None:
    robot = make_robot(follow=True)
    robot.operator.activate()
    robot.see(picture(4))
    arguments = ["the red ball", "--node", f"{namespace}/segzero", "--follow"]
    arguments += ["--json"] if form == "json" else []
    with filming(robot.operator), running(*arguments) as ask:
        assert ask.stdout is not None and ask.stderr is not None
        lines = [ask.stdout.readline() for _ in range(5)]
        ask.send_signal(signal.SIGINT)
        assert ask.wait(DEADLINE) == 0
        assert ask.stderr.read() == ""
    followed = lines[3:] if form == "text" else lines[1:]
    for line in followed:
        state = json.loads(line)["state"] if form == "json" else line.split(";")[0]
        assert state in ("tracked", "lost")
    if form == "text":
        assert followed[0].rstrip().endswith("s old)")
        assert "1: " in followed[0]


def test_a_closed_pipe_ends_following(make_robot: Callable[..., Robot], namespace: str) -> None:
    robot = make_robot(follow=True)
    robot.operator.activate()
    robot.see(picture(4))
    with (
        filming(robot.operator),
        running("the red ball", "--node", f"{namespace}/segzero", "--follow") as ask,
    ):
        assert ask.stdout is not None and ask.stderr is not None
        ask.stdout.readline()
        ask.stdout.close()
        assert ask.wait(DEADLINE) == 1
        assert ask.stderr.read() == ""
