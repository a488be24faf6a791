"""Following over real DDS with real, tiny models: stamps, counts, stopping, faults."""

import queue
import time
from collections.abc import Callable

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.clock import ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from segzero.errors import CheckpointError, DeviceOutOfMemory
from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.models import Models
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros

FOLLOWED = (Segmentation.TRACKED, Segmentation.LOST)
MakeFollower = Callable[..., tuple[Robot, Models]]


@pytest.fixture
def make_follower(make_robot: Callable[..., Robot]) -> MakeFollower:
    """Make an active node that follows, with its models; options as `Robot` has them."""

    def make(profile: str = "answer", **options: object) -> tuple[Robot, Models]:
        loaded: list[Models] = []

        def load(name: str, device: str) -> Models:
            loaded.append(Models.load(name, device))
            return loaded[0]

        robot = make_robot(profile, load=load, **{"follow": True, **options})
        robot.operator.activate()
        return robot, loaded[0]

    return make


@pytest.fixture
def follower(make_follower: MakeFollower) -> tuple[Robot, Models]:
    return make_follower()


def followed_on(robot: Robot, image: Image) -> Segmentation:
    """Show `image`, and return the result for it."""
    robot.see(image)
    while (result := robot.operator.result()).header != image.header:
        pass
    return result


def start(robot: Robot, second: int = 1, **size: int) -> Segmentation:
    """Ask about picture `second`; return the answer."""
    robot.see(picture(second, **size))
    robot.operator.ask("the red ball")
    while (answer := robot.operator.result()).state in FOLLOWED:
        pass
    assert answer.state == Segmentation.ANSWERED
    return answer


def arrivals(robot: Robot) -> dict[int, int]:
    """The numbers that the node gives the frames, by their stamp's seconds, as they come."""
    numbers: dict[int, int] = {}
    put = robot.node.frames.put

    def noted(image: Image) -> None:
        put(image)
        numbers[image.header.stamp.sec] = robot.node.frames.received

    (camera,) = (item for item in robot.node.subscriptions if item.msg_type is Image)
    camera.callback = noted
    return numbers


def drain(robot: Robot) -> None:
    """Take what was published so far; the refusal of one more question leaves all else alone."""
    robot.operator.ask("?")
    while robot.operator.result().query != "?":
        pass


def assert_nothing_is_followed(robot: Robot) -> None:
    """Show some frames; the next result is the answer to the next question."""
    for second in range(90, 95):
        robot.see(picture(second))
    assert robot.operator.answer("the blue ball").state == Segmentation.ANSWERED


def told(robot: Robot, key: str) -> int:
    """A count of /diagnostics."""
    status = robot.operator.diagnosis("following")
    return int(next(v.value for v in status.values if v.key == key)) if status else 0


def test_every_later_frame_gets_the_same_objects_under_its_own_header(follower) -> None:
    robot, _ = follower
    answer = start(robot, 1)
    for second in range(2, 8):
        image = picture(second)
        result = followed_on(robot, image)
        assert result.state in FOLLOWED
        assert (result.query, result.query_id) == ("the red ball", answer.query_id)
        assert sorted([item.id for item in result.objects] + list(result.lost)) == [1]
        assert result.header == result.mask.header == image.header
        assert set(result.mask.data) == {0, *(item.id for item in result.objects)} | {0}
        assert (result.state == Segmentation.LOST) == (not result.objects)


def test_what_is_not_seen_is_lost_and_what_returns_is_tracked(follower) -> None:
    robot, models = follower
    start(robot)
    models.blind = True
    result = followed_on(robot, picture(2))
    assert (result.state, list(result.objects), list(result.lost)) == (Segmentation.LOST, [], [1])
    assert not any(result.mask.data)
    assert len(result.mask.data) == 64 * 48
    models.blind = False
    assert followed_on(robot, picture(3)).state in FOLLOWED


def test_after_a_slow_answer_the_newest_frame_is_followed_and_all_are_counted(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower(catch_up=4, history=16)
    models.seconds = 2.0
    arrived = arrivals(robot)
    newest: list[int] = []  # when each step was done
    models.on_step = lambda: newest.append(robot.node.frames.received)
    with filming(robot):
        wait_until(lambda: len(arrived) > 3, "frames")
        robot.operator.ask("the red ball")
        asked = arrived[robot.operator.result().header.stamp.sec]
        results = [robot.operator.result() for _ in range(20)]
    while max(arrived) != results[-1].header.stamp.sec:
        results.append(robot.operator.result())

    followed = [arrived[result.header.stamp.sec] for result in results]
    assert {result.state for result in results} <= set(FOLLOWED)
    assert followed == sorted(set(followed))
    caught_up = len(newest) - len(followed)
    assert 0 < caught_up <= 4
    # What is published was the newest when the step before was done.
    before = newest[caught_up - 1 :]
    assert all(this >= done for this, done in zip(followed, before, strict=False))
    wait_until(lambda: told(robot, "frames followed") == len(followed), "the counts")
    skipped = told(robot, "frames skipped")
    assert asked + caught_up + len(followed) + skipped == robot.node.frames.received
    assert skipped >= 30  # of two seconds


def test_nothing_is_kept_while_no_answer_is_waited_for(follower) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    assert not robot.node.frames._histories


STOPS: dict[str, Callable[[Robot], object]] = {
    "empty question": lambda robot: robot.operator.ask(""),
    "clear": lambda robot: robot.operator.call(Trigger, "clear", Trigger.Request()),
    "parameter": lambda robot: robot.operator.set_parameter("follow", False),
    "deactivate": lambda robot: robot.operator.transition(Transition.TRANSITION_DEACTIVATE),
}


@pytest.mark.parametrize("how", STOPS)
def test_following_stops_and_nothing_more_is_said(follower, how: str) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    STOPS[how](robot)
    if how == "deactivate":
        assert robot.operator.transition(Transition.TRANSITION_ACTIVATE)
        robot.operator.connect()
    drain(robot)
    assert_nothing_is_followed(robot)


def test_clear_says_what_it_stopped(follower) -> None:
    robot, _ = follower

    def clear() -> str:
        response = robot.operator.call(Trigger, "clear", Trigger.Request())
        assert response.success
        return response.message

    assert clear() == "nothing was under way"
    start(robot)
    followed_on(robot, picture(2))
    assert clear() == "forgot the objects of question 1"


def test_a_new_question_takes_the_place_of_the_followed_one(follower) -> None:
    robot, _ = follower
    start(robot, 1)
    followed_on(robot, picture(2))
    robot.operator.ask("the blue ball")
    while (result := robot.operator.result()).query != "the blue ball":
        assert result.state in FOLLOWED
    assert (result.state, result.query_id) == (Segmentation.ANSWERED, 2)
    assert followed_on(robot, picture(3)).query_id == 2


def garbage() -> Image:
    image = picture(2)
    image.encoding = "h265"
    return image


def test_garbage_in_between_is_counted_and_left_out(follower) -> None:
    robot, _ = follower
    start(robot)
    for _ in range(3):
        robot.see(garbage())
    wait_until(lambda: told(robot, "bad images"), "the count of bad images")
    assert followed_on(robot, picture(3)).state in FOLLOWED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeviceOutOfMemory("the device is out of memory"), "the device is out of memory"),
        (RuntimeError("a bug"), "unexpected RuntimeError: a bug"),
    ],
)
def test_a_tracker_that_raises_ends_the_following_with_a_reason(
    follower, error: Exception, reason: str
) -> None:
    robot, models = follower
    start(robot)
    models.step_errors.append(error)
    robot.see(picture(2))
    while (result := robot.operator.result()).state in FOLLOWED:
        pass
    assert (result.state, result.query_id) == (Segmentation.FAILED, 1)
    assert reason in result.error

    def diagnosed() -> bool:
        status = robot.operator.diagnosis("models")
        return status is not None and str(error) in status.message

    wait_until(diagnosed, "the error in /diagnostics")
    assert_nothing_is_followed(robot)  # it failed once, and no frame more
    assert followed_on(robot, picture(99)).state in FOLLOWED


def test_a_model_without_memory_answers_and_says_why_it_does_not_follow(
    follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot, models = follower

    def track(image, objects):
        raise CheckpointError("this segmenter has no video memory")

    monkeypatch.setattr(models, "track", track)
    start(robot)
    result = robot.operator.result()
    assert (result.state, result.query_id) == (Segmentation.FAILED, 1)
    assert "no video memory" in result.error


def test_another_size_of_image_ends_the_following_with_a_reason(follower) -> None:
    robot, _ = follower
    start(robot)
    result = followed_on(robot, picture(2, width=80))
    assert result.state == Segmentation.FAILED
    assert "changed from 64x48 to 80x48" in result.error
    assert start(robot, 3, width=80).mask.width == 80


def test_after_another_size_of_image_it_is_asked_again_if_wanted(
    make_follower: MakeFollower,
) -> None:
    robot, _ = make_follower(reask="on_lost", reask_period=0.1)
    first = start(robot)
    result = followed_on(robot, picture(2, width=80))
    assert (result.state, result.query_id) == (Segmentation.LOST, first.query_id)
    while (result := robot.operator.result()).state != Segmentation.ANSWERED:
        pass
    assert (result.mask.width, result.query_id) == (80, first.query_id)
    result = followed_on(robot, picture(3, width=80))
    assert (result.state in FOLLOWED, result.mask.width) == (True, 80)


def test_a_clock_that_jumps_back_changes_nothing(follower) -> None:
    robot, _ = follower
    clock = robot.operator.node.create_publisher(Clock, "/clock", 10)
    assert robot.operator.set_parameter("use_sim_time", True).successful

    def turn(seconds: int) -> None:
        def turned() -> bool:
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return robot.node.get_clock().now() == Time(
                seconds=seconds, clock_type=ClockType.ROS_TIME
            )

        wait_until(turned, "the clock")

    turn(1000)
    start(robot, 1000)
    followed_on(robot, picture(1001))
    turn(1)
    for second in range(1, 4):
        assert followed_on(robot, picture(second)).state in FOLLOWED
    assert start(robot, 5).header.stamp.sec == 5


def test_a_camera_that_dies_and_returns_is_followed_again(follower, namespace: str) -> None:
    robot, _ = follower
    start(robot)
    followed_on(robot, picture(2))
    robot.operator.unplug()
    wait_until(lambda: not robot.node.count_publishers(f"{namespace}/image"), "a dead camera")
    assert followed_on(robot, picture(3)).state in FOLLOWED


def test_a_lost_object_is_asked_for_again(make_follower: MakeFollower) -> None:
    robot, models = make_follower(reask="on_lost", reask_period=0.1)
    with filming(robot):
        wait_until(lambda: robot.node.frames.received, "frames")
        assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED
        models.blind = True
        lost = 0
        while (result := robot.operator.result()).state != Segmentation.ANSWERED:
            lost += result.state == Segmentation.LOST
        assert lost
        assert result.query_id == 1


def test_it_is_asked_again_every_so_often(make_follower: MakeFollower) -> None:
    robot, _ = make_follower(reask="every", reask_period=0.5)
    answered = []
    with filming(robot):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.ask("the red ball")
        while len(answered) < 3:
            if robot.operator.result().state == Segmentation.ANSWERED:
                answered.append(time.monotonic())
        assert robot.operator.set_parameter("reask", "never").successful
    wait_until(lambda: robot.operator.count("answered") == 1, "one question, however often asked")


def test_asking_again_that_fails_leaves_the_following_as_it_was(
    make_follower: MakeFollower,
) -> None:
    robot, models = make_follower(reask="every", reask_period=0.1)
    models.ask_errors = []
    with filming(robot):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.answer("the red ball")
        models.ask_errors += [RuntimeError("a bug"), DeviceOutOfMemory("full")]
        wait_until(lambda: not models.ask_errors, "two failed questions")
        states = set()
        while Segmentation.ANSWERED not in states:
            states.add(robot.operator.result().state)
        assert Segmentation.FAILED not in states


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_subscribers_of_either_reliability_get_results(
    follower, reliability: ReliabilityPolicy
) -> None:
    robot, _ = follower
    heard: queue.Queue[Segmentation] = queue.Queue()
    subscription = robot.operator.listen(
        Segmentation, "segzero/segmentation", heard, QoSProfile(depth=1, reliability=reliability)
    )
    wait_until(subscription.get_publisher_count, "the publisher")
    with filming(robot):
        wait_until(lambda: robot.node.frames.received, "frames")
        robot.operator.ask("the red ball")
        while heard.get(timeout=DEADLINE).state not in FOLLOWED:
            pass


def test_a_subscriber_that_wants_what_is_not_offered_disturbs_nobody(follower) -> None:
    robot, _ = follower
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard: queue.Queue[Segmentation] = queue.Queue()
    topic = robot.operator.listen(Segmentation, "segzero/segmentation", heard, latched).topic_name
    wait_until(lambda: robot.node.count_subscribers(topic) == 2, "the subscriber")
    assert start(robot).state == Segmentation.ANSWERED
    assert followed_on(robot, picture(2)).state in FOLLOWED

    def told() -> bool:
        status = robot.operator.diagnosis("connections")
        return status is not None and "change the QoS of one" in status.message

    wait_until(told, "the mismatch in /diagnostics")
    assert heard.empty()
    assert start(robot, 3).state == Segmentation.ANSWERED


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
@pytest.mark.parametrize(
    "durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
)
def test_cameras_of_every_qos_are_followed(
    follower, reliability: ReliabilityPolicy, durability: DurabilityPolicy
) -> None:
    robot, _ = follower
    qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
    camera = robot.operator.node.create_publisher(Image, "image", qos)
    wait_until(camera.get_subscription_count, "the node")
    robot.operator.show = camera.publish
    start(robot)
    assert followed_on(robot, picture(2)).state in FOLLOWED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reask", "every"),
        ("reask_period", 3.0),
        ("catch_up", 2),
        ("history", 8),
        ("first_frame_timeout", 1.0),
        ("depth_tolerance", 0.1),
        ("camera_timeout", 1.0),
        ("target_frame", ""),
    ],
)
def test_parameters_change_while_it_follows(follower, name: str, value: object) -> None:
    robot, _ = follower
    assert robot.operator.set_parameter(name, value).successful


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("profile", "seg-zero-7b", "clean the node up before you change profile"),
        ("image_transport", "compressed", "deactivate it before you change image_transport"),
        ("use_depth", True, "deactivate it before you change use_depth"),
        ("reask", "sometimes", "reask must be one of never, on_lost, every"),
    ],
)
def test_a_parameter_that_can_not_change_now_says_what_to_do(
    follower, name: str, value: object, reason: str
) -> None:
    robot, _ = follower
    result = robot.operator.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason
