"""What /diagnostics says."""

from collections.abc import Callable

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from segzero.errors import DeviceOutOfMemory
from segzero_ros.results.diagnostics import ANSWERS, FOLLOWED, DiagnosticsCollector


def report(health: DiagnosticsCollector) -> dict[str, DiagnosticStatus]:
    return {item.name.removeprefix("/segzero: "): item for item in health.report("/segzero")}


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_the_models_tell_their_state() -> None:
    health = DiagnosticsCollector()
    assert report(health)["models"].message == "not loaded"
    health.models("demo is ready")
    models = report(health)["models"]
    assert (models.level, models.message) == (DiagnosticStatus.OK, "demo is ready")


def test_models_that_failed_to_load_are_an_error() -> None:
    health = DiagnosticsCollector()
    health.models("not loaded: no weights", failed=True)
    assert report(health)["models"].level == DiagnosticStatus.ERROR


def test_the_memory_of_the_process_is_told() -> None:
    assert 1 < float(values(report(DiagnosticsCollector())["models"])["process memory [MiB]"]) < 1e6


def test_questions_are_counted_by_their_end() -> None:
    health = DiagnosticsCollector()
    for how in ("answered", "answered", "nothing", "replaced"):
        health.ended(how, latency=0.5)
    health.ended("stopped", error="stopped by an empty question")
    questions = report(health)["questions"]
    expected = {"answered": "2", "nothing": "1", "failed": "0", "replaced": "1", "stopped": "1"}
    assert expected.items() <= values(questions).items()
    assert (questions.level, questions.message) == (DiagnosticStatus.OK, "nothing")


def test_latency_is_that_of_the_last_answers() -> None:
    health = DiagnosticsCollector()
    for latency in (9.0, *np.linspace(1, 2, ANSWERS)):
        health.ended("answered", latency=latency)
    health.ended("replaced")
    told = values(report(health)["questions"])
    assert told["latency of last answer [s]"] == "2.000"
    assert told["latency p50 [s]"] == "1.500"
    assert told["latency p95 [s]"] == "1.950"


def test_a_failed_question_warns_until_one_succeeds() -> None:
    health = DiagnosticsCollector()
    health.ended("failed", error="no image")
    questions = report(health)["questions"]
    assert questions.level == DiagnosticStatus.WARN
    assert questions.message == "last question failed: no image"
    health.ended("answered")
    questions = report(health)["questions"]
    assert questions.level == DiagnosticStatus.OK
    assert values(questions)["last error"] == "no image"


def test_nothing_is_followed_at_first() -> None:
    following = report(DiagnosticsCollector())["following"]
    assert following.message == "nothing is followed"
    assert values(following)["frames followed"] == "0"


def test_followed_and_skipped_frames_are_counted() -> None:
    health = DiagnosticsCollector()
    health.following("the red ball")
    for number in range(1, 101):
        health.followed(number / 100, number / 10, seen=1, lost=2)
    health.dropped(3)
    health.dropped(4)
    following = report(health)["following"]
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
    health = DiagnosticsCollector()
    health.following("the red ball")
    health.followed(0.1, 0.1, seen=1)
    health.following("")
    following = report(health)["following"]
    assert following.message == "nothing is followed"
    assert values(following)["question"] == ""


def test_bad_images_are_counted_with_the_last_reason() -> None:
    health = DiagnosticsCollector()
    health.bad_image("step is wrong")
    health.bad_image("the image is empty")
    told = report(health)
    assert values(told["following"])["bad images"] == "2"
    assert values(told["questions"])["last error"] == "the image is empty"


@pytest.mark.parametrize(
    "work",
    [
        lambda health: health.ended("answered"),
        lambda health: health.followed(0.1, 0.1),
        lambda health: health.models("demo is ready"),
    ],
)
def test_a_model_error_stands_until_the_models_work_again(
    work: Callable[[DiagnosticsCollector], None],
) -> None:
    health = DiagnosticsCollector()
    health.models("demo is ready")
    health.error(RuntimeError("the cable is out"))
    models = report(health)["models"]
    assert models.level == DiagnosticStatus.ERROR
    assert models.message == "demo is ready, but failed: the cable is out"
    health.ended("stopped")
    assert report(health)["models"].level == DiagnosticStatus.ERROR
    work(health)
    assert report(health)["models"].level == DiagnosticStatus.OK


def test_memory_that_is_short_again_and_again_brings_advice() -> None:
    health = DiagnosticsCollector()
    health.error(DeviceOutOfMemory("the device is full"))
    assert "times in a row" not in report(health)["models"].message
    health.error(DeviceOutOfMemory("the device is full"))
    assert "2 times in a row: choose a profile" in report(health)["models"].message
    health.ended("answered")
    health.error(DeviceOutOfMemory("the device is full"))
    assert "times in a row" not in report(health)["models"].message


def test_memory_is_bounded() -> None:
    health = DiagnosticsCollector()
    for _ in range(1000):
        health.ended("answered", latency=0.1)
        health.followed(0.1, 0.1)
    sizes = [len(item) for item in vars(health).values() if hasattr(item, "__len__")]
    assert max(sizes) <= FOLLOWED
