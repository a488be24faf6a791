"""Several goals side by side: asked in turn, followed in one mask, each with ids of its own."""

import queue
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from std_srvs.srv import Trigger

from segzero_ros.msg import Query, Segmentation
from segzero_ros.srv import ClearGoal, RemoveObjects
from tests.segzero_ros.filming import filming
from tests.segzero_ros.models import Models
from tests.segzero_ros.moving_scene import FOLLOWED, MakeFollower
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


class Asker:
    """Asks for goals on ~/ask."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self._publisher = robot.operator.node.create_publisher(Query, "segzero/ask", 10)
        wait_until(self._publisher.get_subscription_count, "a subscriber of ~/ask")

    def ask(self, goal: str, text: str = "the red ball", request_id: str = "") -> None:
        self._publisher.publish(Query(text=text, goal=goal, request_id=request_id))

    def answer(self, goal: str, text: str = "the red ball") -> Segmentation:
        """Ask, and return the answer; what is followed meanwhile is left out."""
        self.ask(goal, text)
        return self.result_with(lambda result: result.state not in FOLLOWED)

    def result_with(self, condition: Callable[[Segmentation], bool]) -> Segmentation:
        while not condition(result := self.robot.operator.result()):
            pass
        return result

    def frame_with(self, *goals: str) -> Segmentation:
        """The next followed frame with exactly these goals."""
        return self.result_with(
            lambda result: sorted(goal.goal for goal in result.goals) == sorted(goals)
        )


@pytest.fixture
def asker(follower: tuple[Robot, Models]) -> Asker:
    return Asker(follower[0])


def test_goals_are_followed_together_in_one_mask(asker: Asker) -> None:
    with filming(asker.robot.operator):
        first, second = asker.answer("fetch"), asker.answer("avoid", "the box")
        frame = asker.frame_with("fetch", "avoid")
    ids = {item.goal: item.id for result in (first, second) for item in result.objects}
    assert ids == {"fetch": 1, "avoid": 2}
    assert {item.goal: item.id for item in frame.objects}.items() <= ids.items()
    assert set(np.unique(frame.mask.data)) <= {0, 1, 2}
    told = {goal.goal: (goal.query, goal.query_id, list(goal.ids)) for goal in frame.goals}
    assert told == {"fetch": ("the red ball", 1, [1]), "avoid": ("the box", 2, [2])}


def test_a_question_under_a_name_leaves_the_other_goals_alone(asker: Asker) -> None:
    with filming(asker.robot.operator):
        asker.answer("fetch")
        asker.answer("avoid", "the box")
        asker.frame_with("fetch", "avoid")
        asker.answer("avoid", "the blue box")
        frame = asker.result_with(lambda result: any(goal.query_id == 3 for goal in result.goals))
    assert {goal.goal: goal.query_id for goal in frame.goals} == {"fetch": 1, "avoid": 3}


def test_the_request_id_comes_back_in_every_result(asker: Asker) -> None:
    with filming(asker.robot.operator):
        asker.ask("fetch", request_id="r-7")
        answer = asker.robot.operator.result()
        frame = asker.frame_with("fetch")
    assert answer.request_id == frame.request_id == frame.goals[0].request_id == "r-7"


def test_questions_of_two_goals_wait_for_each_other_and_are_both_answered(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower()
    asker = Asker(robot)
    go: list[bool] = []
    models.ready = lambda: bool(go)
    robot.see(picture(1))
    asker.ask("fetch", "first")
    asker.ask("avoid", "second")
    asker.ask("fetch", "third")
    replaced = asker.robot.operator.result()
    assert (replaced.query, replaced.error_code) == ("first", Segmentation.ERROR_REPLACED)
    go.append(True)
    answers = [asker.result_with(lambda result: result.state not in FOLLOWED) for _ in range(2)]
    # The third comes last only if the first had begun, and not merely waited, when it came.
    assert {answer.query for answer in answers} == {"second", "third"}


def test_one_goal_more_than_there_may_be_is_refused(make_follower: MakeFollower) -> None:
    robot, _ = make_follower(max_goals=2)
    asker = Asker(robot)
    with filming(robot.operator):
        asker.answer("a")
        asker.answer("b")
        asker.frame_with("a", "b")
        refused = asker.answer("c")
        assert (refused.state, refused.error_code) == (
            Segmentation.FAILED,
            Segmentation.ERROR_TOO_MANY_GOALS,
        )
        assert asker.answer("b", "the box").state == Segmentation.ANSWERED
        robot.operator.call(ClearGoal, "clear_goal", ClearGoal.Request(goal="a"))
        assert asker.answer("c").state == Segmentation.ANSWERED


def test_one_goal_or_all_are_cleared(asker: Asker) -> None:
    operator = asker.robot.operator
    with filming(asker.robot.operator):
        for goal in ("a", "b", "c"):
            asker.answer(goal)
        asker.frame_with("a", "b", "c")
        assert operator.call(ClearGoal, "clear_goal", ClearGoal.Request(goal="b")).success
        asker.frame_with("a", "c")
        asker.ask("a", "")  # an empty question stops its goal alone
        asker.frame_with("c")
        assert not operator.call(ClearGoal, "clear_goal", ClearGoal.Request(goal="b")).success
        assert operator.call(Trigger, "clear", Trigger.Request()).message == (
            "forgot the objects of question 3"
        )


def test_a_single_object_is_removed_by_its_track_id(asker: Asker) -> None:
    operator = asker.robot.operator

    def remove(*ids: int) -> Any:
        request = RemoveObjects.Request(track_ids=ids)
        return operator.call(RemoveObjects, "remove_objects", request)

    with filming(asker.robot.operator):
        (item,) = asker.answer("a").objects
        asker.answer("b")
        asker.frame_with("a", "b")
        assert remove(item.track_id).success
        asker.frame_with("b")
        response = remove(item.track_id)
    assert (response.success, response.message) == (False, f"not followed: {item.track_id}")


FRUITLESS: dict[str, Callable[[Models], object]] = {
    "nothing found": lambda models: setattr(models, "finds", False),
    "failed": lambda models: models.ask_errors.append(RuntimeError("a bug")),
}


@pytest.mark.parametrize("end", FRUITLESS)
def test_a_question_without_objects_takes_nothing_away(
    make_follower: MakeFollower, end: str
) -> None:
    robot, models = make_follower()
    asker = Asker(robot)
    with filming(robot.operator):
        asker.answer("a")
        asker.frame_with("a")
        FRUITLESS[end](models)
        asker.answer("a", "the box")
        for _ in range(3):
            assert asker.frame_with("a").goals[0].query_id == 1


def test_while_a_question_is_thought_about_every_frame_is_still_followed(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower()
    asker = Asker(robot)
    with filming(robot.operator):
        asker.answer("a")
        asker.frame_with("a")
        thinking_until = time.monotonic() + 1.0
        models.ready = lambda: time.monotonic() > thinking_until
        asker.ask("a", "the box")
        frames = 0
        while asker.robot.operator.result().state in FOLLOWED:
            frames += 1
        assert frames >= 10  # of thirty


def test_an_object_that_is_found_again_keeps_its_ids(asker: Asker) -> None:
    with filming(asker.robot.operator):
        (first,) = asker.answer("a").objects
        (other,) = asker.answer("b").objects
        assert (other.id, other.track_id) == (2, 2)
        asker.frame_with("a", "b")
        (again,) = asker.answer("a", "the same thing").objects
    # The scripted model finds the same box; whether its mask is the same the tracker says.
    if again.track_id == first.track_id:
        assert again.id == first.id
    else:
        assert (again.id, again.track_id) == (3, 3)


def test_the_last_answer_is_kept_for_who_comes_late(asker: Asker) -> None:
    from segzero_ros.qos import LATCHED_QOS

    asker.robot.see(picture(1))
    asker.answer("a", "the red ball")
    late: queue.Queue[Segmentation] = queue.Queue()
    asker.robot.operator.listen(Segmentation, "segzero/answer", late, LATCHED_QOS)
    answer = late.get(timeout=DEADLINE)
    assert (answer.state, answer.query) == (Segmentation.ANSWERED, "the red ball")
