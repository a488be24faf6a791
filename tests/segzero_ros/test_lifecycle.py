"""The lifecycle of the perception node: its transitions, and what each loads, stops and frees."""

import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition

from segzero.pipeline import SegZero
from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


def test_diagnostics_say_that_models_load(make_robot: Callable[..., Robot]) -> None:
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


def test_a_missing_checkpoint_can_be_corrected(
    make_robot: Callable[..., Robot], profiles: dict[str, Path]
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
    assert "there is no folder" in robot.operator.status("models").message

    assert robot.operator.set_parameter("profile", str(profiles["answer"])).successful
    robot.operator.activate()
    robot.see(picture(1))
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_a_profile_that_nobody_knows_fails_to_configure(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot("no-such-profile")
    assert not robot.operator.transition(Transition.TRANSITION_CONFIGURE)
    assert robot.operator.state() == "unconfigured"


def test_an_impossible_transition_is_refused(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot()
    assert not robot.operator.transition(Transition.TRANSITION_ACTIVATE)
    assert not robot.operator.transition(99)
    assert robot.operator.state() == "unconfigured"


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


def test_cleanup_frees_the_models(make_robot: Callable[..., Robot]) -> None:
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
