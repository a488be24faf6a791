"""The perception node as users start it: a process of its own."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition

from segzero_ros.msg import Segmentation
from tests.segzero_ros.filming import filming
from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros

StartNode = Callable[..., NodeProcess]

CYCLES = 40
GROWTH = 0.25
"""Most MiB that a lifecycle may add, on average."""


def test_memory_stays_flat_over_many_questions(
    start_node: StartNode, operator: Operator, profiles: dict[str, Path]
) -> None:
    process = start_node(
        "perception_node",
        profile=profiles["answer"],
        autostart=True,
        first_frame_timeout=60.0,
        history=2,  # a slow host would fill a longer one
        use_sim_time=True,  # without a clock: time stands still, but the node must not
    )
    operator.connect()
    memory = []
    with filming(operator, width=640, height=480):
        for batch in range(6):
            for number in range(9):
                operator.ask(f"ball {number}")
            operator.ask(f"last of {batch}")
            while (result := operator.result()).query != f"last of {batch}":
                pass
            assert result.state == Segmentation.ANSWERED, result.error
            memory.append(process.memory())
    wait_until(lambda: operator.count("answered") >= 6, "diagnostics")
    assert max(memory[2:]) - memory[1] < 16, memory  # MiB; a leak of every picture would be 60


@pytest.mark.slow
def test_memory_stays_flat_over_40_lifecycles(
    start_node: StartNode, operator: Operator, profiles: dict[str, Path]
) -> None:
    process = start_node(
        "perception_node", profile=profiles["answer"], follow=True, first_frame_timeout=60.0
    )
    memory = []
    for cycle in range(CYCLES):
        operator.activate()
        if cycle % 10 == 0:  # also with a model that has answered and a stream that was followed
            with filming(operator, width=640, height=480):
                assert operator.answer("the red ball").state == Segmentation.ANSWERED
                assert operator.result().state in (Segmentation.TRACKED, Segmentation.LOST)
        assert operator.transition(Transition.TRANSITION_DEACTIVATE)
        assert operator.transition(Transition.TRANSITION_CLEANUP)
        while not operator.results.empty():
            operator.results.get()
        memory.append(process.memory())
    print(f"resident memory every 10 cycles: {[round(used) for used in memory[::10]]} MiB")
    assert memory[-1] - memory[1] < GROWTH * (CYCLES - 2), memory


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_question_ends_the_process_cleanly(
    start_node: StartNode, operator: Operator, profiles: dict[str, Path], number: int
) -> None:
    process = start_node("perception_node", profile=profiles["endless"], autostart=True)
    operator.connect()
    with filming(operator):
        wait_until(lambda: _level(operator, "camera") == DiagnosticStatus.OK, "frames")
    operator.ask("the red ball")
    operator.ask("the blue ball")
    wait_until(lambda: operator.count("replaced") == 1, "the first question to be replaced")
    process.signal(number)
    assert process.ended() == 0
    assert "Traceback" not in process.output()


def test_ctrl_c_interrupts_loading(start_node: StartNode, tmp_path: Path) -> None:
    pipe = tmp_path / "profile.yaml"  # the node waits until somebody writes
    os.mkfifo(pipe)
    process = start_node("perception_node", profile=pipe, autostart=True)
    writers = []

    def loading() -> bool:
        with contextlib.suppress(OSError):  # nobody reads yet
            writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    wait_until(loading, "the node to read its profile")
    process.signal(signal.SIGINT)
    os.close(writers[0])
    assert process.ended() == 0
    assert "Traceback" not in process.output()


def _level(operator: Operator, part: str) -> bytes | None:
    status = operator.diagnosis(part)
    return status.level if status else None
