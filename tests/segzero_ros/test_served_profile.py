"""The perception node with its language model on a server: a real process on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero.profiles import resource_root
from segzero_ros.images.conversions import from_array, to_rgb
from segzero_ros.msg import Segmentation
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero.openai_server import ServerProcess
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import wait_until

pytestmark = [pytest.mark.ros, pytest.mark.slow]

MakeServed = Callable[[str], Robot]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    yield server
    server.close()


@pytest.fixture
def make_served(
    server: ServerProcess, make_robot: Callable[..., Robot], tmp_path: Path
) -> MakeServed:
    """Make an active node from the name of one of the server's behaviours."""

    def make(model: str) -> Robot:
        demo = (resource_root() / "config/profiles/demo.yaml").read_text()
        lines = [line for line in demo.splitlines() if not line.startswith("reasoner:")]
        profile = tmp_path / "served.yaml"
        profile.write_text("\n".join([*lines, f"server: {server.url}", f"reasoner: {model}"]))
        robot = make_robot(str(profile))
        robot.operator.activate()
        return robot

    return make


def test_the_result_is_that_of_a_local_model(make_served: MakeServed) -> None:
    with TabletopRenderer() as renderer:
        rgb = renderer.render(sample_scene(3), depth=False).rgb
    robot = make_served("demo")
    robot.see(from_array(rgb, picture(100).header))
    result = robot.operator.answer("the leftmost object")
    local = SegZero.load("demo", "cpu").ask(rgb, "the leftmost object")
    assert (result.state, result.error) == (Segmentation.ANSWERED, "")
    assert result.reasoning == local.reasoning
    assert np.array_equal(to_rgb(result.mask)[..., 0], local.mask())


def test_an_empty_question_ends_the_servers_work(
    server: ServerProcess, make_served: MakeServed
) -> None:
    robot = make_served("silent")
    robot.see(picture(100))
    robot.operator.ask("the red ball")
    wait_until(lambda: server.seen("silent"), "the server's part")
    robot.operator.ask("")
    assert robot.operator.result().state == Segmentation.FAILED
    wait_until(lambda: server.seen("silent given up"), "the end of the server's part")


def test_what_the_server_says_is_in_the_result(make_served: MakeServed) -> None:
    robot = make_served("broken")
    robot.see(picture(100))
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert "500 (CUDA error)" in result.error
