"""What /diagnostics says."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from segzero_ros.diagnostics import Health
from segzero_ros.frames import Frame, LatestFrame


def report(
    health: Health, frames: LatestFrame | None = None, *, active: bool = True
) -> dict[str, DiagnosticStatus]:
    statuses = health.report("/segzero", "/camera", frames or LatestFrame(), active=active)
    return {status.name.removeprefix("/segzero: "): status for status in statuses}


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_the_models_tell_their_state() -> None:
    health = Health()
    assert report(health)["models"].message == "not loaded"
    health.models("demo is ready")
    models = report(health)["models"]
    assert (models.level, models.message) == (DiagnosticStatus.OK, "demo is ready")


def test_models_that_failed_to_load_are_an_error() -> None:
    health = Health()
    health.models("not loaded: no weights", failed=True)
    assert report(health)["models"].level == DiagnosticStatus.ERROR


def test_the_memory_of_the_process_is_told() -> None:
    assert 1 < float(values(report(Health())["models"])["process memory [MiB]"]) < 1e6


def test_questions_are_counted_by_their_end() -> None:
    health = Health()
    for how in ("answered", "answered", "nothing", "replaced"):
        health.ended(how, latency=0.5)
    health.ended("stopped", error="stopped by an empty question")
    questions = report(health)["questions"]
    expected = {"answered": "2", "nothing": "1", "failed": "0", "replaced": "1", "stopped": "1"}
    assert expected.items() <= values(questions).items()
    assert (questions.level, questions.message) == (DiagnosticStatus.OK, "nothing")


def test_latency_is_that_of_answers() -> None:
    health = Health()
    health.ended("answered", latency=1.0)
    health.ended("nothing", latency=2.0)
    health.ended("replaced")
    told = values(report(health)["questions"])
    assert told["latency of last answer [s]"] == "2.000"
    assert told["mean latency [s]"] == "1.500"


def test_a_failed_question_warns_until_one_succeeds() -> None:
    health = Health()
    health.ended("failed", error="no image")
    questions = report(health)["questions"]
    assert questions.level == DiagnosticStatus.WARN
    assert questions.message == "last question failed: no image"
    health.ended("answered")
    questions = report(health)["questions"]
    assert questions.level == DiagnosticStatus.OK
    assert values(questions)["last error"] == "no image"


def test_frames_are_counted_and_their_rate_is_told() -> None:
    health, frames = Health(), LatestFrame()
    report(health, frames)
    for _ in range(30):
        frames.put(Image())
    frames.lost = 4
    camera = report(health, frames)["camera"]
    assert camera.level == DiagnosticStatus.OK
    told = values(camera)
    assert (told["frames received"], told["frames lost"]) == ("30", "4")
    assert float(told["rate [Hz]"]) > 0


@pytest.mark.parametrize("active", [True, False])
def test_a_camera_that_never_came_warns_while_active(active: bool) -> None:
    camera = report(Health(), active=active)["camera"]
    assert (camera.level == DiagnosticStatus.WARN) == active
    assert ("no frame yet on /camera" in camera.message) == active


def test_a_camera_that_fell_silent_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = LatestFrame()
    frames.put(Image())
    newest = frames.newest()
    monkeypatch.setattr(frames, "newest", lambda: Frame(newest.message, newest.received - 100))
    camera = report(Health(), frames)["camera"]
    assert camera.level == DiagnosticStatus.WARN
    assert "no frame for 100 s on /camera" in camera.message
