"""Pictures come in their order, from where the user says."""

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segzero.errors import BadImage
from segzero_console import player
from segzero_console.frames import CATCH_UP, MAX_KEPT, FrameStore, Picture
from segzero_console.player import LivePlayer, RecordedPlayer
from segzero_console.sources.folder import FolderSource
from segzero_console.sources.opening import open_source
from segzero_console.sources.source import EndOfSource, SourceError
from segzero_console.sources.video import VideoSource
from segzero_console.sources.webcam import WebcamSource

DEADLINE = 20.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame k is grey 5 k."""
    path = tmp_path_factory.mktemp("video") / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(40):
        writer.write(np.full((48, 64, 3), 5 * number, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("order", [[0, 1, 2], [39, 0, 20], [5, 5, 6], [30, 10, 31]])
def test_a_video_shows_the_frame_that_is_named(video: Path, order: list[int]) -> None:
    source = VideoSource(video)
    assert [round(source.read(index).mean() / 5) for index in order] == order
    source.close()


@pytest.mark.parametrize("index", [-1, 40, 10**9])
def test_a_video_ends(video: Path, index: int) -> None:
    with pytest.raises(EndOfSource):
        VideoSource(video).read(index)


def test_a_folder_counts_as_people_do(pictures: Path) -> None:
    names = [file.name for file in FolderSource(pictures).files]
    assert names == [f"{number}.png" for number in range(1, 11)]


def test_a_file_of_a_folder_that_is_no_picture_is_told(pictures: Path) -> None:
    with pytest.raises(BadImage, match=r"3\.png"):
        FolderSource(pictures).read(2)


@pytest.mark.parametrize(
    ("name", "seed", "reason"),
    [
        ("/nowhere/at/all", None, "there is no"),
        ("notes.txt", None, "as a video"),
        ("empty", None, "no pictures"),
        ("0", 5, "seed"),
        ("notes.txt", 5, "seed"),
    ],
)
def test_a_source_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, seed: int | None, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=reason):
        open_source(name, seed)


class Show:
    """A player of a video with what it tells."""

    def __init__(self, video: Path, playing: bool) -> None:
        self.shown: list[int] = []
        self.told: list[str] = []
        self.jumps = 0
        self.change = threading.Condition()
        self.player = RecordedPlayer(
            VideoSource(video),
            FrameStore(),
            self.on_picture,
            on_change=lambda index, playing: None,
            on_jump=self.on_jump,
            wait_for=lambda number, stop: None,
            on_error=self.on_error,
            playing=playing,
        )

    def on_picture(self, picture: Picture) -> None:
        with self.change:
            self.shown.append(picture.index)
            self.change.notify_all()

    def on_jump(self) -> None:
        self.jumps += 1

    def on_error(self, text: str) -> None:
        with self.change:
            self.told.append(text)
            self.change.notify_all()

    def wait(self, shown: list[int]) -> None:
        with self.change:
            assert self.change.wait_for(lambda: self.shown == shown, DEADLINE), self.shown


def test_a_paused_video_shows_what_it_is_told(video: Path) -> None:
    show = Show(video, playing=False)
    show.wait([0])
    show.player.seek(1)
    show.wait([0, 1])
    show.player.seek(20)
    show.wait([0, 1, 20])
    assert show.jumps == 1
    show.player.seek(20)
    show.wait([0, 1, 20, 20])
    assert show.jumps == 1
    show.player.close()


def test_a_playing_video_shows_every_frame_and_stops(video: Path) -> None:
    show = Show(video, playing=True)
    show.wait(list(range(40)))
    show.player.close()


def test_pictures_of_the_last_seconds_and_kept_ones_are_found() -> None:
    frames = FrameStore()
    big = np.zeros((2000, 3000, 3), np.uint8)  # 18 MB
    first = frames.put(1, big, 0)
    frames.keep(first)
    for stamp in range(2, 10):
        frames.put(stamp, big, stamp)
    assert [stamp for stamp in range(1, 10) if frames.find(stamp)] == [1, 7, 8, 9]


def test_kept_pictures_are_bounded() -> None:
    frames = FrameStore()
    for stamp in range(MAX_KEPT + 5):
        frames.keep(Picture(stamp, np.zeros((4, 4, 3), np.uint8)))
    assert frames.find(4) is None and frames.find(5)


@pytest.mark.parametrize("count", [3, 50, 1000])
def test_a_history_of_any_length_is_short_and_evenly_spread(count: int) -> None:
    frames = FrameStore()
    history = frames.record()
    for stamp in range(count):
        frames.put(stamp, np.zeros((4, 4, 3), np.uint8), stamp)
    stamps = [picture.stamp for picture in frames.release(history)]
    assert 0 < len(stamps) <= 2 * CATCH_UP
    assert len(set(np.diff(stamps))) == 1
    assert frames.release(history) == []


class Said:
    """A sink that notes the notices of a camera and counts its pictures."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.notices: list[tuple[str, str]] = []
        self.pictures = 0

    def notice(self, level: str, text: str) -> None:
        with self.change:
            self.notices.append((level, text))
            self.change.notify_all()

    def frame(self, picture: Picture) -> None:
        with self.change:
            self.pictures += 1
            self.change.notify_all()

    def wait(self, right: Callable[[], bool]) -> None:
        with self.change:
            assert self.change.wait_for(right, DEADLINE), self.notices


def test_a_webcam_that_is_unplugged_is_told_and_comes_back(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video in the device's place is read by the same reader, and ends as an unplugged one."""
    monkeypatch.setattr(player, "RETRY", 0.05)
    device, said = tmp_path / "video7", Said()
    source = WebcamSource(device, cv2.CAP_FFMPEG)
    running = LivePlayer(source, FrameStore(), said)  # type: ignore[arg-type]
    said.wait(lambda: len(said.notices) == 1)
    assert said.notices[0][1].startswith(f"there is no {device}: plug the webcam in")
    device.symlink_to(video)
    said.wait(lambda: said.pictures >= 40)
    device.unlink()
    said.wait(lambda: "there is no" in said.notices[-1][1])
    device.symlink_to(video)
    before = said.pictures
    said.wait(lambda: said.pictures > before)
    running.close()
    texts = [text for _, text in said.notices]
    assert f"webcam {device} gives pictures again" in texts
    assert f"{device} gives no pictures any more: is it still plugged in?" in texts


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda device: None, "there is no .*video3: plug the webcam in.*there: none"),
        (lambda device: (device.parent / "video1").touch(), "there: .*video1"),
        (lambda device: device.write_text("no video"), "can't open .*video3: another program"),
    ],
)
def test_a_webcam_that_gives_no_pictures_is_named_with_what_to_do(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "video3")
    with pytest.raises(SourceError, match=reason):
        WebcamSource(tmp_path / "video3").open()


def test_a_number_is_the_webcam_of_that_device() -> None:
    assert open_source("0").info.name == "webcam /dev/video0"
    assert open_source("12").info.name == "webcam /dev/video12"


def test_a_video_that_is_cut_off_says_where(tmp_path: Path, video: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    show = Show(cut, playing=False)
    show.wait([0])
    show.player.seek(30)
    with show.change:
        assert show.change.wait_for(lambda: bool(show.told), DEADLINE)
    assert "frame 31 of 40 can't be read" in show.told[0]
    show.player.seek(5)
    show.wait([0, 5])
    show.player.close()
