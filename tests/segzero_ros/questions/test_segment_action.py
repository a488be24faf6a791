"""The action ~/segment over real DDS with real, tiny models."""

import queue
from collections.abc import Callable, Iterator

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from segzero_ros.action import Segment
from segzero_ros.msg import ReasoningText, Segmentation
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros

ALL = QoSProfile(depth=1000)


class Goals:
    """Sends goals and waits for what comes back."""

    def __init__(self, operator: Operator) -> None:
        self.pieces: queue.Queue[str] = queue.Queue()
        self._client = ActionClient(
            operator.node,
            Segment,
            f"{operator.partner}/segment",
            feedback_sub_qos_profile=ALL,
        )
        assert self._client.wait_for_server(DEADLINE)

    def send(self, query: str = "the red ball", image: Image | None = None) -> ClientGoalHandle:
        """Send a goal; return its handle, accepted or not."""
        goal = Segment.Goal(query=query, image=image or Image())
        return wait(
            self._client.send_goal_async(goal, lambda m: self.pieces.put(m.feedback.text)),
            "the goal's acceptance",
        )

    def close(self) -> None:
        self._client.destroy()


def wait(future: Future, what: str):
    wait_until(future.done, what)
    return future.result()


def ended(goal: ClientGoalHandle) -> tuple[int, Segmentation]:
    """The goal's status and result."""
    response = wait(goal.get_result_async(), "the goal's end")
    return response.status, response.result.segmentation


@pytest.fixture
def goals(operator: Operator, robot: Robot) -> Iterator[Goals]:
    goals = Goals(operator)
    yield goals
    goals.close()


@pytest.fixture
def make_thinking(make_robot: Callable[..., Robot]) -> Iterator[Callable[[], tuple[Robot, Goals]]]:
    """Make an active node that thinks for minutes, with a client."""
    made: list[Goals] = []

    def make() -> tuple[Robot, Goals]:
        robot = make_robot("endless")
        robot.operator.activate()
        robot.see(picture(1))
        made.append(Goals(robot.operator))
        return robot, made[-1]

    yield make
    for goals in made:
        goals.close()


def test_a_goal_is_answered_as_a_question_is(robot: Robot, goals: Goals) -> None:
    image = picture(3)
    robot.see(image)
    status, result = ended(goals.send())
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.state, result.query_id) == (Segmentation.ANSWERED, 1)
    assert result.header == image.header
    assert robot.operator.result() == result
    assert robot.operator.answer("the blue ball").query_id == 2
    text = ""
    while text.strip() != "the red thing":
        text += goals.pieces.get(timeout=DEADLINE)


def test_a_goal_with_an_image_of_its_own_needs_no_camera_and_is_not_followed(
    robot: Robot, goals: Goals
) -> None:
    assert robot.operator.set_parameter("follow", True).successful
    image = picture(9, width=80)
    status, result = ended(goals.send(image=image))
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.header, result.mask.width) == (image.header, 80)
    robot.see(picture(10))
    assert robot.operator.result() == result
    assert robot.operator.answer("?").query == "?"  # nothing came in between


@pytest.mark.parametrize(
    ("query", "reason"), [("", "the question is empty"), ("x" * 5000, "5000 characters")]
)
def test_a_bad_question_is_aborted_with_the_reason(
    robot: Robot, goals: Goals, query: str, reason: str
) -> None:
    robot.see(picture(1))
    status, result = ended(goals.send(query))
    assert (status, result.state) == (GoalStatus.STATUS_ABORTED, Segmentation.FAILED)
    assert reason in result.error


def test_a_bad_image_is_aborted_with_the_reason(goals: Goals) -> None:
    image = picture(1)
    image.encoding = "h265"
    status, result = ended(goals.send(image=image))
    assert status == GoalStatus.STATUS_ABORTED
    assert "'h265' is not supported" in result.error


@pytest.mark.parametrize("state", ["unconfigured", "inactive"])
def test_a_node_that_is_not_active_rejects(make_robot, state: str) -> None:
    robot = make_robot()
    if state == "inactive":
        assert robot.operator.transition(Transition.TRANSITION_CONFIGURE)
    goals = Goals(robot.operator)
    assert not goals.send().accepted
    goals.close()


def test_a_cancel_really_stops_the_model(make_thinking) -> None:
    robot, goals = make_thinking()
    goal = goals.send()
    goals.pieces.get(timeout=DEADLINE)
    wait(goal.cancel_goal_async(), "the cancel's acceptance")
    status, result = ended(goal)
    assert (status, result.error) == (GoalStatus.STATUS_CANCELED, "the goal was cancelled")
    assert robot.operator.result().error == "the goal was cancelled"


def test_a_cancel_after_the_end_is_refused(robot: Robot, goals: Goals) -> None:
    robot.see(picture(1))
    goal = goals.send()
    assert ended(goal)[0] == GoalStatus.STATUS_SUCCEEDED
    assert not wait(goal.cancel_goal_async(), "the rejection").goals_canceling


REPLACEMENTS = {
    "topic": lambda robot, goals: robot.operator.ask("the blue ball"),
    "goal": lambda robot, goals: goals.send("the blue ball"),
}


@pytest.mark.parametrize("how", REPLACEMENTS)
def test_a_goal_is_aborted_when_another_question_takes_its_place(make_thinking, how: str) -> None:
    robot, goals = make_thinking()
    goal = goals.send()
    goals.pieces.get(timeout=DEADLINE)
    REPLACEMENTS[how](robot, goals)
    status, result = ended(goal)
    assert (status, result.state) == (GoalStatus.STATUS_ABORTED, Segmentation.FAILED)
    assert result.error == "replaced by question 2"


STOPS: dict[str, Callable[[Robot, ClientGoalHandle], object]] = {
    "empty question": lambda robot, goal: robot.operator.ask(""),
    "clear": lambda robot, goal: robot.operator.call(Trigger, "clear", Trigger.Request()),
    "cancel": lambda robot, goal: goal.cancel_goal_async(),
    "deactivate": lambda robot, goal: robot.operator.transition(Transition.TRANSITION_DEACTIVATE),
}


@pytest.mark.parametrize("how", STOPS)
def test_it_is_silent_after_a_stop(make_thinking, how: str) -> None:
    robot, goals = make_thinking()
    received: queue.Queue[ReasoningText] = queue.Queue()
    stream = robot.operator.listen(ReasoningText, "segzero/reasoning/stream", received, ALL)
    wait_until(stream.get_publisher_count, "the stream")
    goal = goals.send()
    while not received.get(timeout=DEADLINE).text:
        pass
    STOPS[how](robot, goal)
    while not received.get(timeout=DEADLINE).end:
        pass
    status, _ = ended(goal)
    assert received.empty()
    cancelled = how == "cancel"
    assert status == (GoalStatus.STATUS_CANCELED if cancelled else GoalStatus.STATUS_ABORTED)


def test_a_node_activated_again_serves_goals(robot: Robot, goals: Goals) -> None:
    for _ in range(2):
        robot.see(picture(1))
        assert ended(goals.send())[0] == GoalStatus.STATUS_SUCCEEDED
        assert robot.operator.transition(Transition.TRANSITION_DEACTIVATE)
        assert robot.operator.transition(Transition.TRANSITION_ACTIVATE)
