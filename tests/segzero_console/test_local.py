"""The console over a source, with the demo's models: ask, follow, correct, carry on, train."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segzero.metrics import overlap
from segzero.pipeline import SegZero
from segzero_console.local import LocalBackend
from segzero_console.server import Server
from segzero_console.sources.video import VideoSource
from segzero_sim.motion import set_in_motion
from segzero_sim.scene import Scene, sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero_console.browsing import Browser, serve
from tests.segzero_train import tiny_runs

pytestmark = pytest.mark.slow

SEED, RATE, FRAMES = 576, 10, 24


def ball(scene: Scene) -> int:
    """The id of the red ball."""
    return 1 + [(item.colour, item.shape) for item in scene.objects].index(("red", "ball"))


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    """The red ball's mask in each frame of the video."""
    return []


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, truth: list[np.ndarray]) -> Path:
    """The moving tabletop."""
    path = tmp_path_factory.mktemp("video") / "table.avi"
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, RATE, (320, 240))
    scene = sample_scene(SEED)
    motion = set_in_motion(scene)
    with TabletopRenderer(320, 240) as renderer:
        for number in range(FRAMES):
            frame = renderer.render(motion.at(number / RATE), depth=False)
            writer.write(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
            truth.append(frame.ids == ball(scene))
    writer.release()
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows"


@pytest.fixture(scope="module")
def server(video: Path, rows: Path) -> Iterator[Server]:
    load = lambda: SegZero.load("demo", "cpu")  # noqa: E731
    with serve(LocalBackend(load, VideoSource(video), "demo", playing=False), rows) as server:
        yield server


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    """A page that shows the first frame; nothing is followed."""
    browser = Browser(server)
    browser.send(type="pause")
    browser.send(type="clear", goal=None)
    browser.send(type="seek", index=0)
    browser.wait("frame", lambda m: m["index"] == 0)
    yield browser
    browser.close()


def mask(message: dict) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(message["parts"][0]))) > 0


def stamp(index: int) -> str:
    return str(round((index + 1) / RATE * 1e9))


def test_a_question_is_thought_about_answered_and_followed(
    browser: Browser, truth: list[np.ndarray]
) -> None:
    browser.send(type="ask", request="a", text="the red ball", goal="ball")
    answer = browser.wait("result", lambda m: m["state"] == "answered")
    assert overlap(mask(answer), truth[0]).iou >= 0.8
    ended = browser.wait("ended")
    assert (
        ended["text"] == "".join(m["text"] for m in browser.seen if m["type"] == "thinking").strip()
    )
    assert set(ended["seconds"]) == {"waiting", "thinking", "answer", "masks"}
    browser.send(type="play")
    last = browser.wait("result", lambda m: m["stamp"] == stamp(FRAMES - 1))
    assert last["objects"][0]["id"] == answer["objects"][0]["id"]
    assert overlap(mask(last), truth[-1]).iou >= 0.8
    frames = [i for i, m in enumerate(browser.seen) if m["type"] == "frame"]
    shown = {browser.seen[i]["stamp"] for i in frames}
    assert {m["stamp"] for m in browser.seen if m["type"] == "result"} <= shown


def test_a_frame_that_was_followed_has_its_masks_again(
    browser: Browser, truth: list[np.ndarray]
) -> None:
    browser.send(type="ask", request="b", text="the red ball")
    browser.wait("ended")
    browser.send(type="seek", index=1)
    browser.wait("result", lambda m: m["stamp"] == stamp(1))
    browser.send(type="seek", index=20)
    browser.wait("notice", lambda m: "followed any more" in m["text"])
    browser.send(type="seek", index=1)
    again = browser.wait("result", lambda m: m["stamp"] == stamp(1))
    assert overlap(mask(again), truth[1]).iou >= 0.8


def test_a_cancelled_question_has_no_answer(browser: Browser) -> None:
    browser.send(type="ask", request="c", text="the red ball")
    browser.send(type="cancel", request="c")
    ended = browser.wait("ended")
    assert (ended["state"], ended["error_code"]) == ("failed", "cancelled")


def test_a_newer_question_replaces_that_of_its_goal_alone(browser: Browser) -> None:
    browser.send(type="ask", request="d", text="the blue cone", goal="cone")
    browser.send(type="ask", request="e", text="the red ball", goal="ball")
    browser.send(type="ask", request="f", text="the mug", goal="ball")
    ends = {m["request"]: m["error_code"] for m in (browser.wait("ended") for _ in range(3))}
    assert ends == {"d": "", "e": "replaced", "f": ""}


def test_clicks_are_refined_and_followed(browser: Browser, truth: list[np.ndarray]) -> None:
    y, x = (int(v.mean()) for v in np.nonzero(truth[0]))
    shown = [{"points": [[x, y, 1], [2, 2, 0]], "label": "ball"}]
    browser.send(type="refine", request="g", stamp=stamp(0), objects=shown)
    assert overlap(mask(browser.wait("refined")), truth[0]).iou >= 0.7
    browser.send(type="follow", request="h", stamp=stamp(0), goal="shown", objects=shown)
    browser.wait("result", lambda m: m["goal"] == "shown")
    browser.send(type="seek", index=1)
    tracked = browser.wait("result", lambda m: m["stamp"] == stamp(1))
    assert [item["goal"] for item in tracked["objects"]] == ["shown"]
    browser.send(type="remove", ids=[tracked["objects"][0]["track_id"]])
    browser.send(type="seek", index=2)
    browser.wait("frame", lambda m: m["index"] == 2)


def test_a_dropped_picture_is_answered_in_its_own_pixels(
    browser: Browser, video: Path, truth: list[np.ndarray]
) -> None:
    bgr = cv2.VideoCapture(str(video)).read()[1]
    assert bgr is not None
    content = cv2.imencode(".png", bgr[::-1, ::-1])[1].tobytes()
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    Image.open(io.BytesIO(content)).save(file, "PNG", exif=exif)
    browser.send_picture(file.getvalue(), request="p", text="the red ball")
    result = browser.wait("result", lambda m: m["request"] == "p" and m["state"] == "answered")
    assert (result["picture"], result["request"]) == (True, "p")
    assert overlap(mask(result), truth[0]).iou >= 0.8
    shown = [{"points": [[5, 5, 1]]}]
    browser.send(type="follow", stamp=result["stamp"], goal="p", objects=shown)
    assert browser.wait("error")["code"] == "unavailable"


def test_what_was_corrected_and_carried_on_takes_a_training_step(
    browser: Browser, rows: Path, truth: list[np.ndarray], tmp_path: Path
) -> None:
    browser.send(type="ask", request="i", text="the red ball", goal="ball")
    found = browser.wait("result", lambda m: m["state"] == "answered")["objects"][0]["id"]
    browser.wait("ended")
    y, x = (int(v.mean()) for v in np.nonzero(truth[0]))
    shown = [{"points": [[x, y, 1]]}]
    save = {"type": "save", "stamp": stamp(0)}
    browser.send(**save, request="j", question="the ball", objects=shown)
    browser.wait("saved", lambda m: m["request"] == "j")
    browser.send(**save, request="k", question="what was found", objects=[{"id": found}])
    browser.wait("saved", lambda m: m["request"] == "k")
    browser.send(type="carry", request="l", goal="ball", question="the red ball", every=10)
    browser.send(type="play")
    saved = browser.wait("saved", lambda m: m["request"] == "l" and m["rows"] >= 4)
    assert saved["folder"] == str(rows)
    data = tmp_path / "data"
    command = [sys.executable, "-m", "segzero_train.prepare", "folder", "--workers", "1"]
    options = ["--source", str(rows), "--out", str(data)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    profile = tiny_runs.write_profile(tmp_path, "qwen2_5_vl")
    process = tiny_runs.start(tiny_runs.words(profile, data, tmp_path / "run"))
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
