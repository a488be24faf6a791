"""The console of a running node: its camera, its answers, its objects."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rclpy.node import Node

from segzero_console.node_backend import NodeBackend
from segzero_console.server import Server
from tests.segzero_console.browsing import Browser, serve
from tests.segzero_ros.robot import Robot, picture

pytestmark = [pytest.mark.ros, pytest.mark.slow]


@pytest.fixture
def open_console(namespace: str, tmp_path: Path) -> Iterator[Callable[[], Browser]]:
    """Start a console for the node of the test's namespace, and a browser."""
    started = []

    def open_console() -> Browser:
        node = Node("segzero_console", namespace=namespace, start_parameter_services=False)
        backend = NodeBackend(node, "segzero", f"{namespace}/image")
        served = serve(backend, tmp_path / "rows")
        server: Server = served.__enter__()
        browser = Browser(server)
        started.append((served, browser))
        return browser

    yield open_console
    for served, browser in started:
        browser.close()
        served.__exit__(None, None, None)


def film(robot: Robot, browser: Browser, second: int) -> str:
    """Show pictures until the page has one; returns its stamp."""
    for _ in range(100):
        robot.operator.show(picture(second))
        time.sleep(0.05)
        robot.see(picture(second))
        stamp = str(second * 10**9 + 5)
        if browser.wait("frame")["stamp"] == stamp:
            return stamp
    raise AssertionError("the picture never came")


def test_a_question_comes_with_thinking_masks_and_its_end(
    make_robot: Callable[..., Robot], open_console: Callable[[], Browser]
) -> None:
    robot = make_robot(follow=True)
    robot.operator.activate()
    browser = open_console()
    assert browser.wait("hello")["source"]["kind"] == "node"
    stamp = film(robot, browser, 4)
    browser.send(type="ask", request="mine", text="the red ball", goal="ball")
    result = browser.wait("result", lambda m: m["state"] == "answered")
    assert (result["stamp"], result["request"], result["goal"]) == (stamp, "mine", "ball")
    assert len(result["parts"]) == 1
    ended = browser.wait("ended")
    assert (ended["state"], ended["text"].strip()) == ("answered", "the red thing")
    thought = "".join(m["text"] for m in browser.seen if m["type"] == "thinking")
    assert thought.strip() == "the red thing"
    lights = browser.wait("lights", lambda m: len(m["lights"]) > 3)
    assert {"models", "questions", "following"} <= {light["name"] for light in lights["lights"]}


def test_a_question_is_cancelled(
    make_robot: Callable[..., Robot], open_console: Callable[[], Browser]
) -> None:
    robot = make_robot("endless")
    robot.operator.activate()
    browser = open_console()
    film(robot, browser, 4)
    browser.send(type="ask", request="mine", text="the red ball")
    browser.wait("thinking")
    browser.send(type="cancel", request="mine")
    ended = browser.wait("ended")
    assert (ended["request"], ended["error_code"]) == ("mine", "cancelled")


def test_an_object_is_refined_followed_and_removed(
    make_robot: Callable[..., Robot], open_console: Callable[[], Browser]
) -> None:
    robot = make_robot(follow=True)
    robot.operator.activate()
    browser = open_console()
    stamp = film(robot, browser, 4)
    browser.send(type="pause", stamp=stamp)
    shown = [{"box": [5, 5, 40, 40], "points": [[20, 20, 1], [50, 40, 0]]}]
    browser.send(type="refine", request="r", stamp=stamp, objects=shown)
    refined = browser.wait("refined")
    assert [item["id"] for item in refined["objects"]] == [1]
    browser.send(type="follow", request="f", stamp=stamp, goal="shown", objects=shown)
    for second in range(5, 40):
        robot.see(picture(second))
        robot.operator.show(picture(second))
        results = [m for m in browser.seen if m["type"] == "result" and m["objects"]]
        if results:
            break
        browser.wait("frame")
    assert results[-1]["objects"][0]["goal"] == "shown"
    goals = {item["goal"] for m in browser.seen for item in m.get("objects", []) if item}
    assert "console drawing" not in goals


def test_without_a_node_the_page_says_so(open_console: Callable[[], Browser]) -> None:
    browser = open_console()
    lights = browser.wait("lights", lambda m: len(m["lights"]) > 1)
    assert {light["level"] for light in lights["lights"]} >= {"stale"}
