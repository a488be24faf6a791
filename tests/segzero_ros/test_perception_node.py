"""The perception node over real DDS with real, tiny models."""

import queue
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import CompressedImage, Image

from segzero.errors import Cancelled, DeviceOutOfMemory
from segzero.pipeline import SegZero
from segzero_ros.conversions import to_rgb
from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros

MakeRobot = Callable[..., Robot]


class Watched:
    """A real reasoner that tells what happens to it, and first raises what it is given.

    Real out-of-memory is not to be had without taking the machine down.
    """

    def __init__(self, reasoner, errors: list[Exception]) -> None:
        self._reasoner = reasoner
        self._errors = errors
        self.started: queue.Queue[str] = queue.Queue()
        self.cancelled: queue.Queue[str] = queue.Queue()

    def warm_up(self) -> None:
        self._reasoner.warm_up()

    def complete(self, image, question, *, on_text=None, stop=None):
        if self._errors:
            raise self._errors.pop(0)
        self.started.put(question)
        try:
            return self._reasoner.complete(image, question, on_text=on_text, stop=stop)
        except Cancelled:
            self.cancelled.put(question)
            raise


@pytest.fixture
def make_watched(make_robot: MakeRobot) -> Callable[..., tuple[Robot, Watched]]:
    """Make an active node with a watched reasoner."""

    def make(profile: str, *errors: Exception) -> tuple[Robot, Watched]:
        watched: list[Watched] = []

        def load(name: str, device: str) -> SegZero:
            segzero = SegZero.load(name, device)
            watched.append(Watched(segzero._reasoner, list(errors)))
            segzero._reasoner = watched[0]
            return segzero

        robot = make_robot(profile, load=load)
        robot.operator.activate()
        return robot, watched[0]

    return make


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


def test_nothing_there_is_an_answer(make_robot: MakeRobot) -> None:
    robot = make_robot("nothing")
    robot.operator.activate()
    robot.see(picture(1))
    result = robot.operator.answer("the red ball")
    assert (result.state, result.reasoning) == (Segmentation.NOTHING, "empty table")
    assert len(result.mask.data) == 64 * 48
    assert not any(result.mask.data)


def test_a_malformed_completion_fails_with_its_text(make_robot: MakeRobot) -> None:
    robot = make_robot("malformed")
    robot.operator.activate()
    robot.see(picture(1))
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert "no answer" in result.error
    assert result.header == picture(1).header


def test_a_question_without_a_camera_names_the_topic(robot: Robot, namespace: str) -> None:
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert f"nothing publishes on {namespace}/image" in result.error


def test_a_question_to_a_silent_camera_says_so(robot: Robot, namespace: str) -> None:
    robot.operator.node.create_publisher(Image, "image", 1)
    wait_until(lambda: robot.node.count_publishers(f"{namespace}/image"), "the camera")
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert f"{namespace}/image has a publisher, but nothing arrives" in result.error


def test_a_question_waits_for_the_first_picture(make_robot: MakeRobot) -> None:
    robot = make_robot(first_frame_timeout=60.0)
    robot.operator.activate()
    robot.operator.ask("the red ball")
    image = picture(9)
    robot.see(image)
    assert robot.operator.result().header == image.header


def broken(encoding: str, step: int, height: int, size: int) -> Image:
    image = picture(50)
    image.encoding, image.step, image.height = encoding, step, height
    image.data = image.data[:size]
    return image


def with_nan() -> Image:
    image = picture(50, width=16)
    pixels = np.full((48, 16), np.nan, np.float32)
    image.encoding, image.step = "32FC1", 64
    image.data = image.data[:0]
    image.data.frombytes(pixels.tobytes())
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        pytest.param(broken("h265", 192, 48, 9216), "'h265' is not supported", id="encoding"),
        pytest.param(broken("rgb8", 100, 48, 9216), "step is 100 bytes", id="step"),
        pytest.param(broken("rgb8", 192, 0, 0), "empty", id="no rows"),
        pytest.param(broken("rgb8", 192, 48, 9000), "9000 bytes of data", id="cut off"),
        pytest.param(broken("rgb8", 192, 4, 768), "each side must be", id="tiny"),
        pytest.param(with_nan(), "NaN", id="NaN"),
    ],
)
def test_a_bad_picture_fails_and_the_node_goes_on(robot: Robot, image: Image, reason: str) -> None:
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert reason in result.error
    assert result.header == image.header
    robot.see(picture(51))
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_a_big_endian_picture_is_answered(robot: Robot) -> None:
    image = picture(1, width=96)
    image.encoding, image.is_bigendian, image.step = "mono16", True, 288  # 96 bytes of padding
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert (result.state, result.mask.width) == (Segmentation.ANSWERED, 96)


def test_a_compressed_camera_is_answered(make_robot: MakeRobot) -> None:
    robot = make_robot(image_transport="compressed")
    robot.operator.activate()
    raw = picture(7)
    image = CompressedImage(header=raw.header, format="rgb8; jpeg compressed bgr8")
    image.data.frombytes(cv2.imencode(".jpg", to_rgb(raw))[1].tobytes())
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert (result.state, result.header) == (Segmentation.ANSWERED, raw.header)


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
    assert reason in result.error
    assert result.query == question
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


def test_a_newer_question_really_stops_the_running_one(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    assert reasoner.started.get(timeout=DEADLINE) == "first"
    robot.operator.ask("second")
    assert reasoner.cancelled.get(timeout=DEADLINE) == "first"
    assert reasoner.started.get(timeout=DEADLINE) == "second"
    wait_until(lambda: robot.operator.count("replaced") == 1, "the count of replaced questions")
    assert robot.operator.results.empty()


def test_an_empty_question_stops_the_running_one(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    reasoner.started.get(timeout=DEADLINE)
    result = robot.operator.answer("")
    assert (result.state, result.query) == (Segmentation.FAILED, "first")
    assert result.error == "stopped by an empty question"
    assert reasoner.cancelled.get(timeout=DEADLINE) == "first"


def test_of_ten_questions_at_once_only_the_last_is_answered(make_robot: MakeRobot) -> None:
    robot = make_robot("slow")  # no question is done before the next one comes
    robot.operator.activate()
    robot.see(picture(1))
    for number in range(10):
        robot.operator.ask(f"ball {number}")
    result = robot.operator.result()
    assert (result.state, result.query, result.query_id) == (Segmentation.ANSWERED, "ball 9", 10)
    wait_until(lambda: robot.operator.count("answered") == 1, "the count of answers")
    assert robot.operator.count("replaced") == 9
    assert robot.operator.results.empty()


def test_deactivating_fails_the_running_question(make_watched) -> None:
    robot, reasoner = make_watched("endless")
    robot.see(picture(1))
    robot.operator.ask("first")
    reasoner.started.get(timeout=DEADLINE)
    assert robot.operator.transition(Transition.TRANSITION_DEACTIVATE)
    assert reasoner.cancelled.get(timeout=DEADLINE) == "first"
    assert robot.operator.result().error == "the node was deactivated"


def test_a_node_activated_again_does_not_answer_on_an_old_picture(robot: Robot) -> None:
    robot.see(picture(1))
    assert robot.operator.transition(Transition.TRANSITION_DEACTIVATE)
    assert robot.operator.transition(Transition.TRANSITION_ACTIVATE)
    robot.operator.connect()
    assert "no image came" in robot.operator.answer("the red ball").error
    robot.see(picture(2))
    assert robot.operator.answer("the red ball").header.stamp.sec == 2


def test_cleanup_frees_the_models(make_robot: MakeRobot) -> None:
    models: list[weakref.ref] = []

    def load(profile: str, device: str) -> SegZero:
        segzero = SegZero.load(profile, device)
        models.extend([weakref.ref(segzero._reasoner), weakref.ref(segzero._segmenter)])
        return segzero

    robot = make_robot(load=load)
    robot.operator.activate()
    robot.see(picture(1))
    robot.operator.answer("the red ball")
    assert robot.operator.transition(Transition.TRANSITION_DEACTIVATE)
    assert robot.operator.transition(Transition.TRANSITION_CLEANUP)
    assert [model() for model in models] == [None, None]


def test_shutdown_from_active_ends_finalized(robot: Robot) -> None:
    assert robot.operator.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert robot.operator.state() == "finalized"


def test_a_missing_checkpoint_can_be_corrected(
    make_robot: MakeRobot, profiles: dict[str, Path]
) -> None:
    lost = profiles["answer"].with_name("lost.yaml")
    lost.write_text(profiles["answer"].read_text().replace("/answer\n", "/nowhere\n"))
    robot = make_robot(str(lost))
    assert not robot.operator.transition(Transition.TRANSITION_CONFIGURE)
    assert robot.operator.state() == "unconfigured"

    def diagnosed() -> bool:
        models = robot.operator.diagnosis("models")
        return models is not None and models.level == DiagnosticStatus.ERROR

    wait_until(diagnosed, "an error in /diagnostics")
    assert "there is no folder" in robot.operator.diagnosis("models").message

    assert robot.operator.set_parameter("profile", str(profiles["answer"])).successful
    robot.operator.activate()
    robot.see(picture(1))
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_a_profile_that_nobody_knows_fails_to_configure(make_robot: MakeRobot) -> None:
    robot = make_robot("no-such-profile")
    assert not robot.operator.transition(Transition.TRANSITION_CONFIGURE)
    assert robot.operator.state() == "unconfigured"


def test_parameters_are_fixed_while_configured(robot: Robot) -> None:
    result = robot.operator.set_parameter("profile", "seg-zero-7b")
    assert not result.successful
    assert "clean the node up" in result.reason


def test_an_impossible_transition_is_refused(make_robot: MakeRobot) -> None:
    robot = make_robot()
    assert not robot.operator.transition(Transition.TRANSITION_ACTIVATE)
    assert not robot.operator.transition(99)
    assert robot.operator.state() == "unconfigured"


def test_diagnostics_say_that_models_load(make_robot: MakeRobot) -> None:
    loading = threading.Event()

    def load(profile: str, device: str) -> SegZero:
        assert loading.wait(DEADLINE)
        return SegZero.load(profile, device)

    robot = make_robot(load=load)
    configuring = threading.Thread(
        target=robot.operator.transition, args=[Transition.TRANSITION_CONFIGURE]
    )
    configuring.start()

    def told() -> bool:
        models = robot.operator.diagnosis("models")
        return models is not None and models.message == "loading"

    wait_until(told, "the news in /diagnostics")
    loading.set()
    configuring.join()
    assert robot.operator.state() == "inactive"


def test_the_overlay_is_drawn_only_for_subscribers(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segzero import overlay

    drawn = []
    draw = overlay.draw
    monkeypatch.setattr(overlay, "draw", lambda *args: drawn.append(args) or draw(*args))
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
    camera = {item.key: item.value for item in robot.operator.diagnosis("camera").values}
    assert int(camera["frames received"]) >= 1
    questions = robot.operator.diagnosis("questions")
    assert questions.level == DiagnosticStatus.WARN
    assert "the question is empty" in questions.message
