"""The perception node as users start it: a process of its own."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segzero_ros.msg import Segmentation
from tests.segzero_ros.operator import Operator
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.robot import picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


@pytest.fixture
def start(
    namespace: str, tmp_path: Path, profiles: dict[str, Path]
) -> Iterator[Callable[..., NodeProcess]]:
    """Start a perception node that activates itself."""
    processes = []

    def start(profile: str, **parameters: object) -> NodeProcess:
        process = NodeProcess(
            "perception_node",
            namespace,
            tmp_path / "log.txt",
            profile=profiles.get(profile, profile),
            autostart=True,
            **parameters,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()


def test_memory_stays_flat_over_many_questions(
    start: Callable[..., NodeProcess], operator: Operator
) -> None:
    process = start("answer", use_sim_time=True)  # without a clock: time stands still
    operator.connect()
    stop = threading.Event()

    def film() -> None:
        for second in range(10_000):
            operator.show(picture(second, 640, 480))
            if stop.wait(0.05):
                return

    camera = threading.Thread(target=film)
    camera.start()
    memory = []
    for batch in range(6):
        for number in range(9):
            operator.ask(f"ball {number}")
        operator.ask(f"last of {batch}")
        while (result := operator.result()).query != f"last of {batch}":
            pass
        assert result.state == Segmentation.ANSWERED
        memory.append(process.memory())
    wait_until(lambda: operator.count("answered"), "diagnostics")
    stop.set()
    camera.join()
    assert max(memory[2:]) - memory[1] < 16  # MiB; ten frames have 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_question_ends_the_process_cleanly(
    start: Callable[..., NodeProcess], operator: Operator, number: int
) -> None:
    process = start("endless")
    operator.connect()
    operator.show(picture(1))
    operator.ask("the red ball")
    wait_until(lambda: operator.diagnosis("camera"), "diagnostics")
    assert process.end(number) == 0
    assert "Traceback" not in process.output()


def test_ctrl_c_interrupts_loading(start: Callable[..., NodeProcess], tmp_path: Path) -> None:
    pipe = tmp_path / "profile.yaml"  # whoever reads it, waits
    os.mkfifo(pipe)
    process = start(str(pipe))
    ends = []

    def reading() -> bool:
        with contextlib.suppress(OSError):  # nobody reads yet
            ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    wait_until(reading, "the node to read its profile")
    assert process.end(signal.SIGINT) == 0
    assert "Traceback" not in process.output()
    os.close(ends[0])
