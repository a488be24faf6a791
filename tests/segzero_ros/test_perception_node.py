"""The perception node over real DDS with real, tiny models: what it publishes for a question."""

import queue
from collections.abc import Callable

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from segzero.errors import DeviceOutOfMemory
from segzero.types import Segmentation as Answer
from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


def test_a_question_is_answered_on_the_picture(robot: Robot) -> None:
    image = picture(100)
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert (result.state, result.error) == (Segmentation.ANSWERED, "")
    assert (result.query, result.query_id) == ("the red ball", 1)
    assert result.reasoning == "the red thing"
    assert [item.id for item in result.objects] == [1]
    # [100, 200, 500, 600] of 1000 on 64x48
    assert list(result.objects[0].box) == [6, 10, 32, 29]
    assert result.header == result.mask.header == image.header
    assert (result.mask.width, result.mask.height, result.mask.encoding) == (64, 48, "mono8")
    assert set(result.mask.data) <= {0, 1}


def test_mask_and_reasoning_are_published_alone_too(robot: Robot) -> None:
    image = picture(100)
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert robot.operator.masks.get(timeout=DEADLINE) == result.mask
    assert robot.operator.reasonings.get(timeout=DEADLINE).data == "the red thing"


def test_the_stamp_is_that_of_the_newest_picture(robot: Robot) -> None:
    # The size tells which picture the result was really computed from.
    for second in range(1, 6):
        image = picture(second, width=60 + second)
        robot.see(image)
        result = robot.operator.answer("the red ball")
        assert result.header == image.header
        assert result.mask.width == 60 + second


def test_nothing_there_is_an_answer(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot("nothing")
    robot.operator.activate()
    robot.see(picture(1))
    result = robot.operator.answer("the red ball")
    assert (result.state, result.reasoning) == (Segmentation.NOTHING, "empty table")
    assert len(result.mask.data) == 64 * 48
    assert not any(result.mask.data)


def test_a_malformed_completion_fails_with_its_text(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot("malformed")
    robot.operator.activate()
    robot.see(picture(1))
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert "no answer" in result.error
    assert result.header == picture(1).header


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeviceOutOfMemory("the device is out of memory"), "the device is out of memory"),
        (RuntimeError("a bug"), "unexpected RuntimeError: a bug"),
        (MemoryError(), "unexpected MemoryError"),
    ],
)
def test_a_model_that_raises_fails_and_the_node_goes_on(
    make_watched, error: Exception, reason: str
) -> None:
    robot, _ = make_watched("answer", error)
    robot.see(picture(1))
    result = robot.operator.answer("the red ball")
    assert (result.state, result.header) == (Segmentation.FAILED, picture(1).header)
    assert reason in result.error
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_the_overlay_is_drawn_only_for_subscribers(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segzero import overlay

    drawn = []
    draw = overlay.draw

    def noted_draw(image: NDArray[np.uint8], segmentation: Answer) -> NDArray[np.uint8]:
        drawn.append(segmentation)
        return draw(image, segmentation)

    monkeypatch.setattr(overlay, "draw", noted_draw)
    image = picture(3)
    robot.see(image)
    robot.operator.answer("the red ball")
    pictures: queue.Queue[Image] = queue.Queue()
    subscription = robot.operator.listen(Image, "segzero/overlay", pictures)
    wait_until(subscription.get_publisher_count, "the overlay's publisher")
    wait_until(lambda: robot.node.count_subscribers(subscription.topic_name), "a subscriber")
    assert not drawn
    robot.operator.answer("the red ball")
    shown = pictures.get(timeout=DEADLINE)
    assert (shown.header, shown.encoding, shown.width) == (image.header, "rgb8", 64)


def test_diagnostics_count_frames_and_questions(robot: Robot) -> None:
    robot.see(picture(1))
    robot.operator.answer("the red ball")
    robot.operator.answer("?")
    wait_until(lambda: robot.operator.count("failed") == 1, "the count of failed questions")
    assert robot.operator.count("answered") == 1
    camera = {item.key: item.value for item in robot.operator.status("camera").values}
    assert int(camera["frames received"]) >= 1
    questions = robot.operator.status("questions")
    assert questions.level == DiagnosticStatus.WARN
    assert "the question is empty" in questions.message
