"""The client: its own answer, or a clear reason why there is none."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.node import Node

from segzero.errors import BadQuestion
from segzero_ros.ask import NoAnswer, ask_once
from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


@pytest.fixture
def client(namespace: str) -> Iterator[Node]:
    node = rclpy.create_node("client", namespace=namespace)
    yield node
    node.destroy_node()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m segzero_ros.ask`."""
    return subprocess.run(
        [sys.executable, "-m", "segzero_ros.ask", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=os.environ,
        check=False,
    )


def test_the_answer_comes_back(robot: Robot, client: Node) -> None:
    robot.see(picture(4))
    result = ask_once(client, "the red ball", DEADLINE)
    assert (result.state, result.query) == (Segmentation.ANSWERED, "the red ball")
    assert result.header == picture(4).header


def test_one_client_asks_again_and_again(robot: Robot, client: Node) -> None:
    robot.see(picture(4))
    ids = [ask_once(client, "the red ball", DEADLINE).query_id for _ in range(3)]
    assert ids == [1, 2, 3]


def test_a_failure_is_a_result(robot: Robot, client: Node) -> None:
    result = ask_once(client, "the red ball", DEADLINE)
    assert result.state == Segmentation.FAILED
    assert "no image came" in result.error


def test_a_bad_question_is_not_even_sent(robot: Robot, client: Node) -> None:
    with pytest.raises(BadQuestion, match="empty"):
        ask_once(client, " ", DEADLINE)


def test_without_an_active_node_the_client_says_so(
    make_robot: Callable[..., Robot], client: Node, namespace: str
) -> None:
    make_robot()
    with pytest.raises(NoAnswer, match=f"no active node {namespace}/segzero within 0.3 s"):
        ask_once(client, "the red ball", 0.3)


def test_a_slow_answer_is_given_up_in_time(make_robot: Callable[..., Robot], client: Node) -> None:
    robot = make_robot("endless")
    robot.operator.activate()
    robot.see(picture(4))
    with pytest.raises(NoAnswer, match="no answer within 2 s"):
        ask_once(client, "the red ball", 2.0)


def test_a_replaced_question_says_so(make_robot: Callable[..., Robot], client: Node) -> None:
    robot = make_robot("slow")
    robot.operator.activate()
    robot.see(picture(4))
    asked = threading.Event()
    robot.operator.on_question(lambda text: asked.set())

    def interrupt() -> None:
        assert asked.wait(DEADLINE)
        robot.operator.ask("the blue ball")

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(NoAnswer, match="took the place"):
        ask_once(client, "the red ball", DEADLINE)
    other.join()


def test_a_refused_question_of_others_does_not_matter(
    make_robot: Callable[..., Robot], client: Node
) -> None:
    robot = make_robot("slow")
    robot.operator.activate()
    robot.see(picture(4))
    robot.operator.on_question(
        lambda text: robot.operator.ask("?!") if text == "the red ball" else None
    )
    result = ask_once(client, "the red ball", DEADLINE)
    assert (result.state, result.query) == (Segmentation.ANSWERED, "the red ball")
    wait_until(lambda: robot.operator.results.qsize() == 2, "both results")


def test_the_command_prints_reasoning_and_objects(robot: Robot, namespace: str) -> None:
    robot.see(picture(4))
    done = command("the red ball", "--ros-args", "-r", f"__ns:={namespace}")
    assert (done.returncode, done.stderr) == (0, "")
    first, reasoning, item = done.stdout.splitlines()
    assert first == "answered: the red ball"
    assert reasoning == "the red thing"
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
