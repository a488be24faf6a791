"""What fails in a thread of the console is told on the page, once, and ends nothing else."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segzero.errors import BadImage
from segzero.tracks import Track, TrackIds
from segzero_console import lights as console_lights
from segzero_console.backend import Sink
from segzero_console.follower import Followed, Follower
from segzero_console.frames import FrameStore, Picture
from segzero_console.local import LocalBackend
from segzero_console.messages import Ended, Light, Result, ShownObject, SourceInfo
from segzero_console.player import RecordedPlayer
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.browsing import Browser, serve
from tests.segzero_console.conftest import no_models

DEADLINE = 20.0
SIZE = (48, 64)
UNUSABLE: dict[str, NDArray[Any]] = {
    "empty": np.zeros((0, 64), np.uint8),
    "words": np.full(SIZE, "a"),
    "five channels": np.zeros((*SIZE, 5), np.uint8),
}
"""Pixels that can't be compressed."""


class Heard(LocalBackend):
    """A backend in whose place a test can speak."""

    def start(self, sink: Sink) -> None:
        self.sink = sink
        super().start(sink)


@pytest.fixture(scope="module")
def backend(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    backend = Heard(no_models, FolderSource(pictures), "none")
    with serve(backend, tmp_path_factory.mktemp("rows")) as server:
        backend.server = server  # type: ignore[attr-defined]
        yield backend


@pytest.fixture
def page(backend: Heard) -> Iterator[Browser]:
    browser = Browser(backend.server)  # type: ignore[attr-defined]
    browser.wait("frame")
    yield browser
    browser.close()


def picture(number: int, rgb: NDArray[Any] | None = None) -> Picture:
    pixels: Any = np.zeros((*SIZE, 3), np.uint8) if rgb is None else rgb
    return Picture(stamp=number, rgb=pixels, index=number, number=number)


def result(stamp: int, mask: NDArray[Any] | None = None, **more: Any) -> Result:
    ids = np.ones(SIZE, np.uint8) if mask is None else mask
    shown = (ShownObject(1, 1, "", "cup", (0, 0, 64, 48), 0.9),)
    return Result(stamp=stamp, objects=shown, mask=ids, **more)


@pytest.mark.parametrize("mask", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_answer_whose_masks_can_not_be_shown_ends_with_the_reason(
    backend: Heard, page: Browser, mask: NDArray[Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    backend.sink.result(result(101, mask, state="answered", request=name), picture(101))
    backend.sink.ended(Ended(name, "", "answered", "a cup", objects=1))
    ended = page.wait("ended", lambda m: m["request"] == name)
    assert (ended["state"], ended["objects"], ended["text"]) == ("failed", 0, "a cup")
    assert "masks can't be shown" in ended["error"]


def test_masks_that_fail_again_and_again_are_one_notice(backend: Heard, page: Browser) -> None:
    bad = np.zeros((48, 0), np.uint8)
    for stamp in range(110, 140):
        backend.sink.result(result(stamp, bad, state="tracked"), picture(stamp))
    backend.sink.result(result(140, state="tracked"), picture(140))
    page.wait("result", lambda m: m["stamp"] == "140")
    notices = [m["text"] for m in page.seen if m["type"] == "notice"]
    assert len([text for text in notices if "masks can't be shown" in text]) <= 1


@pytest.mark.parametrize("rgb", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_picture_that_can_not_be_shown_is_told_and_the_next_one_shown(
    backend: Heard, page: Browser, rgb: NDArray[Any], request: pytest.FixtureRequest
) -> None:
    stamp = 1000 + list(UNUSABLE).index(request.node.callspec.id)
    backend.sink.frame(picture(stamp, rgb))
    assert "picture can't be shown" in page.wait("notice")["text"]
    backend.sink.frame(picture(stamp + 1000))
    assert page.wait("frame")["stamp"] == str(stamp + 1000)


def test_what_can_not_be_sent_is_told(backend: Heard, page: Browser) -> None:
    backend.sink.player(0, object(), True)  # type: ignore[arg-type]
    assert "can't be shown" in page.wait("notice")["text"]


def full_line(rows: Path) -> None:
    (rows / "questions.jsonl").symlink_to("/dev/full")


def no_pictures(rows: Path) -> None:
    (rows / "images").write_text("a file")


def no_masks(rows: Path) -> None:
    (rows / "masks").symlink_to(rows / "nowhere" / "at all")


@pytest.mark.parametrize("spoil", [full_line, no_pictures, no_masks])
def test_carrying_ends_with_one_notice_where_rows_can_not_be_written(
    pictures: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    backend, rows = Heard(no_models, FolderSource(pictures), "none"), tmp_path / "rows"
    rows.mkdir()
    with serve(backend, rows) as server:
        browser, other = Browser(server), Browser(server)
        spoil(rows)
        browser.send(type="carry", request="c", goal="", question="cups", every=1)
        browser.send(type="cancel", request="none")  # it is refused after carrying has begun
        browser.wait("error")
        for stamp in range(1, 5):
            backend.sink.result(result(stamp, state="tracked"), picture(stamp))
        saved = browser.wait("saved")
        assert (saved["request"], saved["rows"], saved["more"]) == ("c", 0, False)
        assert "saving followed frames ended" in other.wait("notice")["text"]
        browser.wait("notice")
        browser.send(type="cancel", request="none")
        browser.wait("error")
        texts = [m["text"] for m in browser.seen if m["type"] == "notice"]
        assert len([text for text in texts if "saving followed frames" in text]) == 1
        browser.close()
        other.close()
    assert [file for file in rows.rglob("*.png") if file.is_file()] == []


def test_lights_that_fail_are_a_light_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_lights, "PERIOD", 0.01)
    told: list[list[Light]] = []
    stop, answers = threading.Event(), iter([[Light("a", "ok", "")], ValueError("b"), []])

    class Page:
        def lights(self, lights: list[Light]) -> None:
            told.append(lights)
            if len(told) == 3:
                stop.set()

        def trouble(self, what: str, error: Exception) -> None:
            told[-1].append(Light("told", "error", str(error)))

    def ask() -> list[Light]:
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer  # type: ignore[return-value]

    console_lights.report_lights(Page(), ask, stop)  # type: ignore[arg-type]
    names = [[light.name for light in shown] for shown in told]
    assert names == [["a", "told"], ["diagnostics"], []]


class Tracker:
    """Follows until it fails where it is told to."""

    shape = (*SIZE, 3)

    def __init__(self, *failing: str) -> None:
        self._failing = failing
        self.ids: tuple[int, ...] = (1,)

    def _do(self, name: str) -> None:
        if name in self._failing:
            raise RuntimeError(f"{name} failed")

    def step(self, rgb: NDArray[np.uint8]) -> tuple[()]:
        self._do("step")
        return ()

    def remove(self, ids: set[int]) -> None:
        self._do("remove")
        self.ids = tuple(set(self.ids) - set(ids))

    def close(self) -> None:
        self._do("close")


class Told:
    """A sink that notes results and troubles."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.results: list[Result] = []

    def result(self, result: Result, picture: Picture | None) -> None:
        with self.change:
            self.results.append(result)
            self.change.notify_all()

    def trouble(self, what: str, error: Exception) -> None:
        pass

    def wait(self, right: Callable[[Result], bool]) -> None:
        with self.change:
            assert self.change.wait_for(lambda: any(map(right, self.results)), DEADLINE)


@pytest.mark.parametrize("failing", [("step",), ("step", "close"), ("remove",)], ids="+".join)
def test_following_that_fails_is_told_and_others_are_followed_after_it(
    failing: tuple[str, ...],
) -> None:
    frames, sink = FrameStore(), Told()
    follower = Follower(frames, TrackIds(), sink, threading.Lock)  # type: ignore[arg-type]
    first = frames.put(1, np.zeros((*SIZE, 3), np.uint8), 0)
    for goal, tracker in (("bad", Tracker(*failing)), ("good", Tracker())):
        track = Track(1, 1, goal, goal)
        follower.follow(Followed(goal, "", "", (track,)), tracker, first)  # type: ignore[arg-type]
        frames.put(2, np.zeros((*SIZE, 3), np.uint8), 1)
        if goal == "bad":
            sink.wait(lambda result: (result.state, result.goal) == ("failed", "bad"))
            while follower.active:
                pass
    frames.put(3, np.zeros((*SIZE, 3), np.uint8), 2)
    sink.wait(lambda result: result.state == "lost")
    follower.close()


@pytest.mark.parametrize(
    "error", [BadImage("no picture"), OSError(5, "the disk is gone"), RuntimeError("a decoder")]
)
def test_a_frame_that_can_not_be_read_is_told_and_the_next_one_shown(error: Exception) -> None:
    shown: list[int] = []
    told: list[str] = []
    change = threading.Condition()

    class Source:
        info = SourceInfo("video", "film", live=False, length=9)
        rate = 100.0

        def read(self, index: int) -> NDArray[np.uint8]:
            if index == 1:
                raise error
            return np.zeros((*SIZE, 3), np.uint8)

        def close(self) -> None:
            pass

    def note(place: list[Any], what: Any) -> None:
        with change:
            place.append(what)
            change.notify_all()

    player = RecordedPlayer(
        Source(),
        FrameStore(),
        lambda picture: note(shown, picture.index),
        on_change=lambda index, playing: None,
        on_jump=lambda: None,
        wait_for=lambda number, stop: None,
        on_error=lambda text: note(told, text),
        playing=False,
    )
    with change:
        assert change.wait_for(lambda: shown == [0], DEADLINE)
    player.seek(1)
    with change:
        assert change.wait_for(lambda: len(told) == 1, DEADLINE)
    player.seek(2)
    with change:
        assert change.wait_for(lambda: shown == [0, 2], DEADLINE)
    player.close()
    assert "frame 2 can't be shown" in told[0]
