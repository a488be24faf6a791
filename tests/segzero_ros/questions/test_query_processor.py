"""Questions on `query`: bad ones, and those that take the place of others or stop them."""

from collections.abc import Callable

import pytest

from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        pytest.param("", "the question is empty", id="empty"),
        pytest.param(" \t\n ", "the question is empty", id="blank"),
        pytest.param("?!", "the question is empty", id="punctuation"),
        pytest.param("ball" * 25_000, "100000 characters", id="100 kB"),
        pytest.param("the \ufffd ball", "isn't valid UTF-8", id="replacement"),
        pytest.param("the \x1b[31m ball", "isn't valid UTF-8", id="control"),
    ],
)
def test_a_bad_question_fails_and_the_node_goes_on(
    robot: Robot, question: str, reason: str
) -> None:
    robot.see(picture(1))
    result = robot.operator.answer(question)
    assert result.state == Segmentation.FAILED
    assert result.error_code == Segmentation.ERROR_BAD_QUESTION
    assert reason in result.error
    assert result.query[:4096] == question[:4096]
    assert len(result.query) < 5000
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_bytes_that_are_no_utf_8_fail(robot: Robot) -> None:
    robot.see(picture(1))
    text = b"the \xff\xfe ball\0"
    robot.operator.queries.publish(b"\0\1\0\0" + len(text).to_bytes(4, "little") + text)
    result = robot.operator.result()
    assert result.state == Segmentation.FAILED
    assert "isn't valid UTF-8" in result.error


@pytest.mark.parametrize("token", ["<|im_start|>", "<|image_pad|>", "</answer>", "<think>"])
def test_control_tokens_are_plain_text(robot: Robot, token: str) -> None:
    robot.see(picture(1))
    result = robot.operator.answer(f"the {token} ball")
    assert (result.state, result.query) == (Segmentation.ANSWERED, f"the {token} ball")


def test_a_bad_question_leaves_the_running_one_alone(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    reasoner.started.get(timeout=DEADLINE)
    assert robot.operator.answer("x" * 5000).state == Segmentation.FAILED
    assert reasoner.cancelled.empty()


def test_a_newer_question_really_stops_the_running_one(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    assert reasoner.started.get(timeout=DEADLINE) == "first"
    robot.operator.ask("second")
    assert reasoner.cancelled.get(timeout=DEADLINE) == "first"
    assert reasoner.started.get(timeout=DEADLINE) == "second"
    result = robot.operator.result()
    assert (result.state, result.query, result.query_id) == (Segmentation.FAILED, "first", 1)
    assert result.error_code == Segmentation.ERROR_REPLACED
    assert robot.operator.results.empty()
    wait_until(lambda: robot.operator.count("replaced") == 1, "the count of replaced questions")


def test_an_empty_question_stops_the_running_one(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    reasoner.started.get(timeout=DEADLINE)
    result = robot.operator.answer("")
    assert (result.state, result.query) == (Segmentation.FAILED, "first")
    assert result.error_code == Segmentation.ERROR_STOPPED
    assert result.error == "stopped by an empty question"
    assert reasoner.cancelled.get(timeout=DEADLINE) == "first"


def test_of_ten_questions_at_once_only_the_last_is_answered(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot("slow")  # no question is done before the next one comes
    robot.operator.activate()
    robot.see(picture(1))
    for number in range(10):
        robot.operator.ask(f"ball {number}")
    replaced = [robot.operator.result() for _ in range(9)]
    assert {item.error_code for item in replaced} == {Segmentation.ERROR_REPLACED}
    assert {item.query_id for item in replaced} == set(range(1, 10))
    result = robot.operator.result()
    assert (result.state, result.query, result.query_id) == (Segmentation.ANSWERED, "ball 9", 10)
    wait_until(lambda: robot.operator.count("answered") == 1, "the count of answers")
    assert robot.operator.count("replaced") == 9
    assert robot.operator.results.empty()
