"""What /diagnostics says."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from segzero.errors import DeviceOutOfMemory
from segzero_ros.results.diagnostics import (
    ANSWER_WINDOW,
    FRAME_WINDOW,
    DiagnosticsCollector,
    QueryEnd,
)


def report(diagnostics: DiagnosticsCollector) -> dict[str, DiagnosticStatus]:
    return {item.name.removeprefix("/segzero: "): item for item in diagnostics.report("/segzero")}


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_the_models_tell_their_state() -> None:
    diagnostics = DiagnosticsCollector()
    assert report(diagnostics)["models"].message == "not loaded"
    diagnostics.set_model_state("demo is ready")
    models = report(diagnostics)["models"]
    assert (models.level, models.message) == (DiagnosticStatus.OK, "demo is ready")


def test_models_that_failed_to_load_are_an_error() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.set_model_state("not loaded: no weights", failed=True)
    assert report(diagnostics)["models"].level == DiagnosticStatus.ERROR


def test_the_memory_of_the_process_is_told() -> None:
    assert 1 < float(values(report(DiagnosticsCollector())["models"])["process memory [MiB]"]) < 1e6


@pytest.mark.parametrize("torch", [object(), SimpleNamespace(cuda=object()), None])
def test_a_torch_that_another_thread_still_imports_is_no_error(
    torch: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert "process memory [MiB]" in values(report(DiagnosticsCollector())["models"])


def test_questions_are_counted_by_their_end() -> None:
    diagnostics = DiagnosticsCollector()
    for end in (QueryEnd.ANSWERED, QueryEnd.ANSWERED, QueryEnd.NOTHING, QueryEnd.REPLACED):
        diagnostics.count_query(end, latency=0.5)
    diagnostics.count_query(QueryEnd.STOPPED, error="stopped by an empty question")
    questions = report(diagnostics)["questions"]
    expected = {"answered": "2", "nothing": "1", "failed": "0", "replaced": "1", "stopped": "1"}
    assert expected.items() <= values(questions).items()
    assert (questions.level, questions.message) == (DiagnosticStatus.OK, "nothing")


def test_latency_is_that_of_the_last_answers() -> None:
    diagnostics = DiagnosticsCollector()
    for latency in (9.0, *np.linspace(1, 2, ANSWER_WINDOW)):
        diagnostics.count_query(QueryEnd.ANSWERED, latency=latency)
    diagnostics.count_query(QueryEnd.REPLACED)
    told = values(report(diagnostics)["questions"])
    assert told["latency of last answer [s]"] == "2.000"
    assert told["latency p50 [s]"] == "1.500"
    assert told["latency p95 [s]"] == "1.950"


def test_a_failed_question_warns_until_one_succeeds() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.count_query(QueryEnd.FAILED, error="no image")
    questions = report(diagnostics)["questions"]
    assert questions.level == DiagnosticStatus.WARN
    assert questions.message == "last question failed: no image"
    diagnostics.count_query(QueryEnd.ANSWERED)
    questions = report(diagnostics)["questions"]
    assert questions.level == DiagnosticStatus.OK
    assert values(questions)["last error"] == "no image"


def test_nothing_is_followed_at_first() -> None:
    following = report(DiagnosticsCollector())["following"]
    assert following.message == "nothing is followed"
    assert values(following)["frames followed"] == "0"


def test_followed_and_skipped_frames_are_counted() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.set_followed_query("the red ball")
    for number in range(1, 101):
        diagnostics.count_frame(number / 100, number / 10, seen=1, lost=2)
    diagnostics.count_skipped(3)
    diagnostics.count_skipped(4)
    following = report(diagnostics)["following"]
    assert following.message == "1 of 3 objects seen"
    expected = {
        "question": "the red ball",
        "frames followed": "100",
        "frames skipped": "7",
        "latency p50 [s]": "0.505",
        "age p95 [s]": "9.505",
    }
    assert expected.items() <= values(following).items()
    assert float(values(following)["rate [Hz]"]) > 0


def test_what_is_followed_no_more_is_told_no_more() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.set_followed_query("the red ball")
    diagnostics.count_frame(0.1, 0.1, seen=1)
    diagnostics.set_followed_query("")
    following = report(diagnostics)["following"]
    assert following.message == "nothing is followed"
    assert values(following)["question"] == ""


def test_bad_images_are_counted_with_the_last_reason() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.count_bad_image("step is wrong")
    diagnostics.count_bad_image("the image is empty")
    told = report(diagnostics)
    assert values(told["following"])["bad images"] == "2"
    assert values(told["questions"])["last error"] == "the image is empty"


@pytest.mark.parametrize(
    "work",
    [
        lambda diagnostics: diagnostics.count_query(QueryEnd.ANSWERED),
        lambda diagnostics: diagnostics.count_frame(0.1, 0.1),
        lambda diagnostics: diagnostics.set_model_state("demo is ready"),
    ],
)
def test_a_model_error_stands_until_the_models_work_again(
    work: Callable[[DiagnosticsCollector], None],
) -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.set_model_state("demo is ready")
    diagnostics.set_model_error(RuntimeError("the cable is out"))
    models = report(diagnostics)["models"]
    assert models.level == DiagnosticStatus.ERROR
    assert models.message == "demo is ready, but failed: the cable is out"
    diagnostics.count_query(QueryEnd.STOPPED)
    assert report(diagnostics)["models"].level == DiagnosticStatus.ERROR
    work(diagnostics)
    assert report(diagnostics)["models"].level == DiagnosticStatus.OK


def test_memory_that_is_short_again_and_again_brings_advice() -> None:
    diagnostics = DiagnosticsCollector()
    diagnostics.set_model_error(DeviceOutOfMemory("the device is full"))
    assert "times in a row" not in report(diagnostics)["models"].message
    diagnostics.set_model_error(DeviceOutOfMemory("the device is full"))
    assert "2 times in a row: choose a profile" in report(diagnostics)["models"].message
    diagnostics.count_query(QueryEnd.ANSWERED)
    diagnostics.set_model_error(DeviceOutOfMemory("the device is full"))
    assert "times in a row" not in report(diagnostics)["models"].message


def test_memory_is_bounded() -> None:
    diagnostics = DiagnosticsCollector()
    for _ in range(1000):
        diagnostics.count_query(QueryEnd.ANSWERED, latency=0.1)
        diagnostics.count_frame(0.1, 0.1)
    sizes = [len(item) for item in vars(diagnostics).values() if hasattr(item, "__len__")]
    assert max(sizes) <= FRAME_WINDOW
