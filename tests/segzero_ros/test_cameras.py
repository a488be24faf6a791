"""One process serves several cameras: shared weights, questions in turn, separate lives."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.exceptions import InvalidNamespaceException
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from segzero.pipeline import SegZero
from segzero_ros.cameras import make_nodes
from segzero_ros.msg import Query, Segmentation
from segzero_ros.shared_models import SharedModels
from tests.segzero_ros.filming import filming
from tests.segzero_ros.models import Watched
from tests.segzero_ros.moving_scene import FOLLOWED
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.spinning import Spinning
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros


class Gated(Watched):
    """A reasoner that tells what it begins with, and waits until `gate` is set."""

    def __init__(self, reasoner) -> None:
        super().__init__(reasoner, [])
        self.gate = threading.Event()
        self.begun: list[str] = []

    def complete(self, image, question, *, on_text=None, stop=None):
        self.begun.append(question)
        wait_until(lambda: self.gate.is_set() or stop.is_set(), "the gate")
        return super().complete(image, question, on_text=on_text, stop=stop)


class Rig:
    """Two nodes, /…/front and /…/rear, spinning in one thread, and their operators."""

    def __init__(self, namespace: str, profile: Path) -> None:
        self.reasoners: list[Gated] = []
        self.models = SharedModels(self._load)
        self.nodes = make_nodes([f"{namespace}/front", f"{namespace}/rear"], self.models)
        for node in self.nodes:
            node.set_parameters([Parameter("profile", value=str(profile))])
        self.front, self.rear = (Operator(node.get_namespace()) for node in self.nodes)
        self._spinning = Spinning(*self.nodes)
        self._films = ExitStack()

    def _load(self, profile: str, device: str) -> SegZero:
        segzero = SegZero.load(profile, device)
        self.reasoners.append(Gated(segzero._reasoner))
        segzero._reasoner = self.reasoners[-1]  # type: ignore[assignment]
        return segzero

    def start(self, **parameters: object) -> None:
        """Activate both, with cameras that film."""
        changes = [Parameter(name, value=value) for name, value in parameters.items()]
        for node, operator in zip(self.nodes, (self.front, self.rear), strict=True):
            node.set_parameters(changes)
            operator.activate()
            self._films.enter_context(filming(operator))
        wait_until(lambda: all(node.frames.received for node in self.nodes), "frames")

    def busy(self) -> bool:
        """Whether a question of each camera has its turn or waits for it."""
        return len(self.models.turns._line) == 2

    def close(self) -> None:
        self._films.close()
        for reasoner in self.reasoners:
            reasoner.gate.set()
        for operator in (self.front, self.rear):
            operator.close()
        self._spinning.close()
        for node in self.nodes:
            node.close()
            node.destroy_node()


@pytest.fixture
def rig(namespace: str, profiles: dict[str, Path]) -> Iterator[Rig]:
    rig = Rig(namespace, profiles["answer"])
    yield rig
    rig.close()


@pytest.fixture
def running(rig: Rig) -> Rig:
    """Both cameras film, and answers don't wait."""
    rig.start()
    rig.reasoners[0].gate.set()
    return rig


def next_state(operator: Operator, *states: int) -> Segmentation:
    while (result := operator.result()).state not in states:
        assert result.state != Segmentation.FAILED, result.error
    return result


def test_both_cameras_are_answered_and_followed_with_weights_in_memory_once(running: Rig) -> None:
    operators = (running.front, running.rear)
    for operator in operators:
        operator.ask("the red ball")
    for operator in operators:
        next_state(operator, Segmentation.ANSWERED)
    for operator in operators:
        next_state(operator, *FOLLOWED)
    assert len(running.reasoners) == 1


def test_cameras_with_many_questions_have_turns_as_those_with_one(rig: Rig) -> None:
    rig.start(follow=False)
    (reasoner,) = rig.reasoners
    asker = rig.front.node.create_publisher(Query, "segzero/ask", 10)
    wait_until(asker.get_subscription_count, "a subscriber of ~/ask")
    for goal in ("a", "b", "c"):
        asker.publish(Query(text=f"front {goal}", goal=goal))
    processor = rig.nodes[0]._processor
    assert processor
    wait_until(lambda: len(processor._worker.open_keys()) == 3, "three open questions")
    rig.rear.ask("rear")
    wait_until(rig.busy, "the other camera's question")
    reasoner.gate.set()
    wait_until(lambda: len(reasoner.begun) == 4, "four answers")
    assert reasoner.begun == ["front a", "rear", "front b", "front c"]


def test_a_question_that_waited_for_its_turn_is_answered_on_a_fresh_image(rig: Rig) -> None:
    rig.start(follow=False, max_frame_age=0.3, first_frame_timeout=60.0)
    rig.front.ask("the red ball")
    wait_until(lambda: rig.reasoners[0].begun, "the first question")
    rig.rear.ask("the red ball")
    wait_until(rig.busy, "both questions")
    asked = rig.nodes[1].frames.newest()
    assert asked
    time.sleep(0.4)
    rig.reasoners[0].gate.set()
    answered = next_state(rig.rear, Segmentation.ANSWERED)
    assert answered.header.stamp.sec > asked.message.header.stamp.sec


def test_a_question_can_be_stopped_while_it_waits_for_its_turn(rig: Rig) -> None:
    rig.start(follow=False)
    rig.front.ask("the red ball")
    wait_until(lambda: rig.reasoners[0].begun, "the first question")
    rig.rear.ask("the blue ball")
    wait_until(rig.busy, "both questions")
    rig.rear.call(Trigger, "clear", Trigger.Request())
    assert rig.rear.result().error_code == Segmentation.ERROR_STOPPED
    rig.reasoners[0].gate.set()
    next_state(rig.front, Segmentation.ANSWERED)
    assert rig.reasoners[0].begun == ["the red ball"]


def test_a_camera_without_images_keeps_no_other_one_waiting(rig: Rig) -> None:
    rig.front.set_parameter("first_frame_timeout", 60.0)
    rig.front.activate()
    rig.front.ask("the red ball")
    wait_until(lambda: rig.nodes[0]._processor._worker.busy, "the first question")
    rig.rear.activate()
    rig.reasoners[0].gate.set()
    with filming(rig.rear):
        rig.rear.ask("the blue ball")
        next_state(rig.rear, Segmentation.ANSWERED)
    assert rig.front.results.empty()


@pytest.mark.parametrize("steps", [1, 2], ids=["deactivated", "cleaned up"])
def test_a_camera_that_ends_leaves_the_other_alone(running: Rig, steps: int) -> None:
    running.front.ask("the red ball")
    running.rear.ask("the red ball")
    next_state(running.front, Segmentation.ANSWERED)
    next_state(running.rear, Segmentation.ANSWERED)
    endings = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    for transition in endings[:steps]:
        assert running.front.transition(transition)
    ended = running.nodes[1].frames.newest()
    assert ended
    while next_state(running.rear, *FOLLOWED).header.stamp.sec <= ended.message.header.stamp.sec:
        pass
    running.rear.ask("the blue ball")
    next_state(running.rear, Segmentation.ANSWERED)


def test_a_camera_that_comes_back_finds_the_models_loaded(running: Rig) -> None:
    endings = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    for transition in endings:
        assert running.front.transition(transition)
    running.front.activate()
    running.front.ask("the red ball")
    next_state(running.front, Segmentation.ANSWERED)
    assert len(running.reasoners) == 1


@pytest.mark.parametrize(
    "names", [["front", "rear", "front"], ["front", "/front"], ["front", "rear", "rear/"]]
)
def test_two_cameras_of_one_name_are_refused(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        make_nodes(names, SharedModels())
    assert ended.value.code == 2
    assert "two cameras have the name" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["front cam", "2nd", "front-left"])
def test_a_name_that_is_no_namespace_is_refused(name: str) -> None:
    with pytest.raises(InvalidNamespaceException):
        make_nodes([name], SharedModels())


@pytest.fixture
def start_cameras(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the process with arguments; its output goes to a file."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / "output").open("w") as output:
            command = [sys.executable, "-m", "segzero_ros.cameras", *arguments]
            processes.append(
                subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
            )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: CAMERA"),
        (["front", "--ros-args", "-r", "__ns:=/robot"], "write it before the name"),
        (["front", "re ar"], "segzero: Invalid namespace"),
    ],
    ids=["no name", "remapped", "no namespace"],
)
def test_bad_arguments_end_the_process_with_the_reason(
    start_cameras: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    arguments: list[str],
    reason: str,
) -> None:
    assert start_cameras(*arguments).wait(DEADLINE) == 2
    output = (tmp_path / "output").read_text()
    assert reason in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_each_camera_has_its_parameters_and_topics_and_ctrl_c_ends_them_all_cleanly(
    start_cameras: Callable[..., subprocess.Popen[str]],
    namespace: str,
    profiles: dict[str, Path],
    tmp_path: Path,
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(
        f"/**:\n  ros__parameters:\n    profile: {profiles['answer']}\n    autostart: true\n"
        f"{namespace}/rear/segzero:\n  ros__parameters:\n    follow: false\n"
    )
    names = [f"{namespace}/front", f"{namespace}/rear"]
    remap = f"{namespace}/rear/image:={namespace}/elsewhere/image"
    process = start_cameras(*names, "--ros-args", "--params-file", str(file), "-r", remap)
    with ExitStack() as stack:
        front, rear, camera = (
            stack.enter_context(closing(Operator(name)))
            for name in (*names, f"{namespace}/elsewhere")
        )
        for operator in (front, rear):
            operator.connect()
        stack.enter_context(filming(front))
        stack.enter_context(filming(camera))
        for operator in (front, rear):
            operator.ask("the red ball")
        next_state(rear, Segmentation.ANSWERED)
        next_state(front, *FOLLOWED)
        assert rear.results.empty()  # follow: false
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    output = (tmp_path / "output").read_text()
    assert "Traceback" not in output
    assert "following ended" not in output
