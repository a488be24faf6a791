"""The client for behaviour code: every question ends in one way that the caller can tell."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from segzero.errors import BadQuestion
from segzero_ros.client import NoAnswer, Outcome, Reply, SegZeroClient, state_name
from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


@pytest.fixture
def make_client(namespace: str) -> Iterator[Callable[[], SegZeroClient]]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(SegZeroClient(perception=f"{namespace}/segzero"))


@pytest.fixture
def client(make_client: Callable[[], SegZeroClient]) -> SegZeroClient:
    return make_client()


@pytest.fixture
def thinker(make_robot: Callable[..., Robot]) -> Robot:
    """An active node that thinks for minutes."""
    robot = make_robot("endless")
    robot.operator.activate()
    robot.see(picture(4))
    return robot


@pytest.fixture
def follower(make_robot: Callable[..., Robot]) -> Robot:
    """An active node that follows the object it finds."""
    robot = make_robot(follow=True)
    robot.operator.activate()
    robot.see(picture(4))
    return robot


def test_an_answer_comes_with_its_thinking(robot: Robot, client: SegZeroClient) -> None:
    robot.see(picture(4))
    query = client.ask("the red ball", timeout=DEADLINE)
    assert "".join(query.stream(DEADLINE)).strip() == "the red thing"
    reply = query.wait()
    assert (reply.outcome, reply.segmentation.query) == (Outcome.ANSWERED, "the red ball")
    assert reply.segmentation.header == picture(4).header
    assert query.text == reply.segmentation.reasoning == "the red thing"
    assert query.latest() == reply.segmentation


def test_an_image_of_ones_own_needs_no_camera(robot: Robot, client: SegZeroClient) -> None:
    query = client.ask("the red ball", picture(7), timeout=DEADLINE)
    reply = query.wait(DEADLINE)
    assert (reply.outcome, reply.segmentation.header) == (Outcome.ANSWERED, picture(7).header)
    with pytest.raises(NoAnswer, match="nothing is followed"):
        next(query.follow())


def test_nothing_there_is_an_answer(
    make_robot: Callable[..., Robot], client: SegZeroClient
) -> None:
    robot = make_robot("nothing")
    robot.operator.activate()
    robot.see(picture(4))
    query = client.ask("the red ball", timeout=DEADLINE)
    assert query.wait(DEADLINE).outcome is Outcome.NOTHING
    assert list(query.follow()) == []


def test_a_failure_says_why(robot: Robot, client: SegZeroClient) -> None:
    reply = client.ask("the red ball", timeout=DEADLINE).wait(DEADLINE)
    assert reply.outcome is Outcome.FAILED
    assert "no image came" in reply.segmentation.error


def test_a_bad_question_is_not_even_sent(robot: Robot, client: SegZeroClient) -> None:
    with pytest.raises(BadQuestion, match="empty"):
        client.ask(" ")


def test_a_node_that_is_not_active_is_not_waited_for(
    make_robot: Callable[..., Robot], client: SegZeroClient, namespace: str
) -> None:
    make_robot()
    with pytest.raises(NoAnswer, match=f"no active node {namespace}/segzero within 0.3 s"):
        client.ask("the red ball", timeout=0.3)


def test_a_slow_answer_can_be_waited_for_again(thinker: Robot, client: SegZeroClient) -> None:
    query = client.ask("the red ball", timeout=DEADLINE)
    for _ in range(2):
        with pytest.raises(NoAnswer, match="no answer in time"):
            query.wait(0.1)
    assert not query.done
    assert query.latest() is None


def test_cancel_silences_the_model(thinker: Robot, client: SegZeroClient) -> None:
    for _ in range(5):
        query = client.ask("the red ball", timeout=DEADLINE)
        next(query.stream(DEADLINE))
        query.cancel()
        assert query.wait(DEADLINE).outcome is Outcome.CANCELED
        text = query.text
    time.sleep(0.2)
    assert query.text == text


def test_cancelled_before_it_is_known_to_be_accepted(thinker: Robot, client: SegZeroClient) -> None:
    query = client.ask("the red ball", timeout=DEADLINE)
    query.cancel()
    assert query.wait(DEADLINE).outcome is Outcome.CANCELED


def test_of_two_clients_the_later_one_is_answered(
    make_robot: Callable[..., Robot], make_client: Callable[[], SegZeroClient]
) -> None:
    robot = make_robot("slow")
    robot.operator.activate()
    robot.see(picture(4))
    earlier = make_client().ask("the red ball", timeout=DEADLINE)
    next(earlier.stream(DEADLINE))
    later = make_client().ask("the blue ball", timeout=DEADLINE)
    assert earlier.wait(DEADLINE).outcome is Outcome.REPLACED
    reply = later.wait(DEADLINE)
    assert (reply.outcome, reply.segmentation.query) == (Outcome.ANSWERED, "the blue ball")


def test_a_question_on_the_topic_replaces_too(thinker: Robot, client: SegZeroClient) -> None:
    query = client.ask("the red ball", timeout=DEADLINE)
    next(query.stream(DEADLINE))
    thinker.operator.ask("the blue ball")
    assert query.wait(DEADLINE).outcome is Outcome.REPLACED


def test_follow_yields_the_frames_of_its_own_question(
    follower: Robot, make_client: Callable[[], SegZeroClient]
) -> None:
    with filming(follower.operator):
        first = make_client().ask("the red ball", timeout=DEADLINE)
        frames = first.follow(DEADLINE)
        seen = list(islice(frames, 10))
        answer = first.wait().segmentation
        stamps = [frame.header.stamp.sec for frame in [answer, *seen]]
        assert stamps == sorted(set(stamps))
        assert {frame.query_id for frame in seen} == {answer.query_id}
        assert {frame.state for frame in seen} <= {Segmentation.TRACKED, Segmentation.LOST}
        latest = first.latest()
        assert latest is not None and latest.header.stamp.sec >= stamps[-1]

        follower.operator.ask("?!")  # refused: it changes nothing
        wait_until(lambda: follower.operator.count("failed"), "the rejection")
        assert next(frames).query_id == answer.query_id

        second = make_client().ask("the blue ball", timeout=DEADLINE)
        assert next(second.follow(DEADLINE)).query == "the blue ball"
        assert {frame.query_id for frame in frames} <= {answer.query_id}  # and it ends


def test_clear_ends_following(follower: Robot, client: SegZeroClient) -> None:
    with filming(follower.operator):
        query = client.ask("the red ball", timeout=DEADLINE)
        next(query.follow(DEADLINE))
        client.clear(DEADLINE)
        with pytest.raises(NoAnswer, match="no frame was followed for 1 s"):
            list(query.follow(1.0))


@pytest.mark.parametrize(("cleared", "kept"), [("left", "right"), ("", "right"), ("right", "")])
def test_one_goal_is_cleared_and_the_others_are_followed_on(
    follower: Robot, client: SegZeroClient, cleared: str, kept: str
) -> None:
    with filming(follower.operator):
        for goal in (cleared, kept):
            query = client.ask("the red ball", timeout=DEADLINE, goal=goal)
            frames = query.follow(DEADLINE)
            next(frames)
        assert "forgot the objects" in client.clear(DEADLINE, goal=cleared)
        while (goals := [goal.goal for goal in next(frames).goals]) != [kept]:
            assert set(goals) == {cleared, kept}  # a frame from before


def test_a_callback_of_a_node_that_somebody_spins_may_ask(robot: Robot, namespace: str) -> None:
    robot.see(picture(4))
    node = rclpy.create_node("behaviour", namespace=namespace)
    replies: list[Reply] = []

    def behave() -> None:
        timer.cancel()
        replies.append(client.ask("the red ball", timeout=DEADLINE).wait(DEADLINE))

    timer = node.create_timer(0.0, behave)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with SegZeroClient(node) as client:
        while not replies:
            executor.spin_once(1.0)
    executor.shutdown()
    node.destroy_node()
    assert replies[0].outcome is Outcome.ANSWERED


def test_deactivation_ends_a_question(thinker: Robot, client: SegZeroClient) -> None:
    query = client.ask("the red ball", timeout=DEADLINE)
    next(query.stream(DEADLINE))
    assert thinker.operator.transition(4)
    try:
        reply = query.wait(DEADLINE)
    except NoAnswer as error:  # the node may take its action down before its last word is out
        assert "deactivated" in str(error)
    else:
        assert "deactivated" in reply.segmentation.error


@pytest.mark.slow
@pytest.mark.usefixtures("short_lease")
def test_a_killed_node_is_not_waited_for_whether_it_is_started_again_or_not(
    start_node: Callable[..., NodeProcess], profiles: dict[str, Path], client: SegZeroClient
) -> None:
    options = {"profile": profiles["endless"], "autostart": True}
    process = start_node("perception_node", **options)
    for again in (True, False):
        query = client.ask("the red ball", picture(4), timeout=DEADLINE)
        next(query.stream(DEADLINE))
        process.signal(signal.SIGKILL)
        if again:
            process = start_node("perception_node", **options)
        with pytest.raises(NoAnswer, match="has gone"):
            query.wait(DEADLINE)


def test_a_closed_client_says_so(thinker: Robot, make_client: Callable[[], SegZeroClient]) -> None:
    client = make_client()
    query = client.ask("the red ball", timeout=DEADLINE)
    closing = threading.Timer(0.2, client.close)
    closing.start()
    with pytest.raises(NoAnswer, match="closed"):
        query.wait(DEADLINE)
    closing.join()


def test_every_state_has_a_name() -> None:
    constants = {name for name in dir(Segmentation) if name.isupper() and name[0] != "_"}
    states = {name for name in constants - {"SLOT_TYPES"} if not name.startswith("ERROR_")}
    names = [state_name(Segmentation(state=getattr(Segmentation, name))) for name in states]
    assert sorted(names) == sorted(name.lower() for name in states)
