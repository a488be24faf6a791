"""The thinking on ~/reasoning/stream: every piece, and exactly one end for each question."""

import queue
from collections.abc import Callable

import pytest
from rclpy.qos import QoSProfile

from segzero_ros.msg import ReasoningText, Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


class Reader:
    """Reads the stream of a node."""

    def __init__(self, robot: Robot) -> None:
        self._heard: queue.Queue[ReasoningText] = queue.Queue()
        stream = robot.operator.listen(
            ReasoningText, "segzero/reasoning/stream", self._heard, QoSProfile(depth=1000)
        )
        wait_until(stream.get_publisher_count, "the stream")

    def next(self) -> ReasoningText:
        return self._heard.get(timeout=DEADLINE)

    def until_end(self) -> list[ReasoningText]:
        pieces = [self.next()]
        while not pieces[-1].end:
            pieces.append(self.next())
        return pieces

    def silent(self) -> bool:
        return self._heard.empty()


@pytest.fixture
def make_active(make_robot: Callable[..., Robot]) -> Callable[[str], tuple[Robot, Reader]]:
    def make(profile: str) -> tuple[Robot, Reader]:
        robot = make_robot(profile)
        robot.operator.activate()
        robot.see(picture(1))
        return robot, Reader(robot)

    return make


@pytest.mark.parametrize(
    ("profile", "thinking"), [("answer", "the red thing"), ("nothing", "empty table")]
)
def test_the_pieces_are_the_reasoning(make_active, profile: str, thinking: str) -> None:
    robot, reader = make_active(profile)
    result = robot.operator.answer("the red ball")
    pieces = reader.until_end()
    assert "".join(piece.text for piece in pieces).strip() == result.reasoning == thinking
    assert {piece.query_id for piece in pieces} == {result.query_id}
    assert all(piece.header == result.header for piece in pieces)


def test_pieces_come_while_the_model_still_writes(make_active) -> None:
    robot, reader = make_active("endless")
    robot.operator.ask("the red ball")
    for _ in range(5):
        piece = reader.next()
        assert (piece.end, piece.query_id) == (False, 1)
    assert robot.operator.results.empty()


def test_a_question_that_is_replaced_ends_before_the_next_begins(make_active) -> None:
    robot, reader = make_active("endless")
    robot.operator.ask("the red ball")
    reader.next()
    robot.operator.ask("the blue ball")
    assert {piece.query_id for piece in reader.until_end()} == {1}
    assert reader.next().query_id == 2


def test_a_question_that_is_stopped_ends_and_stays_silent(make_active) -> None:
    robot, reader = make_active("endless")
    robot.operator.ask("the red ball")
    reader.next()
    assert robot.operator.answer("").state == Segmentation.FAILED
    reader.until_end()
    robot.operator.ask("?")
    assert [(piece.query_id, piece.text) for piece in reader.until_end()] == [(3, "")]
    assert reader.silent()


def test_an_answer_that_can_not_be_read_ends_its_thinking_once(make_active) -> None:
    robot, reader = make_active("malformed")
    assert robot.operator.answer("the red ball").state == Segmentation.FAILED
    assert "".join(piece.text for piece in reader.until_end()).strip() == "no answer"
    assert reader.silent()
