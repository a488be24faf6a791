"""Processes that die without a word, and come back as a launch file would start them again."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.waiting import wait_until

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.usefixtures("short_lease")]

StartNode = Callable[..., NodeProcess]


@pytest.fixture
def start(start_node: StartNode, profiles: dict[str, Path]) -> Callable[[str], NodeProcess]:
    """Start the perception node or the camera that it looks through."""

    def start(module: str) -> NodeProcess:
        if module == "tabletop_camera":
            return start_node(module, remap={"camera/image_raw": "image"}, width=64, height=48)
        return start_node(
            module,
            profile=profiles["answer"],
            autostart=True,
            first_frame_timeout=60.0,
            camera_timeout=0.5,
            follow=False,
        )

    return start


def camera_level(operator: Operator) -> bytes | None:
    status = operator.diagnosis("camera")
    return status.level if status else None


def test_a_camera_that_was_killed_is_missed_and_welcomed_back(
    start: Callable[[str], NodeProcess], operator: Operator
) -> None:
    node, camera = start("perception_node"), start("tabletop_camera")
    operator.connect()
    assert operator.answer("the red ball").state == Segmentation.ANSWERED
    for _ in range(2):
        camera.signal(signal.SIGKILL)
        camera.ended()
        wait_until(lambda: camera_level(operator) == DiagnosticStatus.ERROR, "an error")
        camera = start("tabletop_camera")
        wait_until(lambda: camera_level(operator) == DiagnosticStatus.OK, "recovery")
    assert node.output().count("The camera is silent: no frame for ") == 2
    assert node.output().count("Frames come again on ") == 2
    assert operator.answer("the red ball").state == Segmentation.ANSWERED


def test_a_node_that_was_killed_answers_again_once_it_was_restarted(
    start: Callable[[str], NodeProcess], operator: Operator
) -> None:
    with filming(operator):
        node = start("perception_node")
        operator.connect()
        assert operator.answer("the red ball").state == Segmentation.ANSWERED
        node.signal(signal.SIGKILL)
        node.ended()
        wait_until(lambda: operator.queries.get_subscription_count() == 0, "the node to be missed")
        start("perception_node")
        operator.connect()
        assert operator.answer("the red ball").state == Segmentation.ANSWERED
