"""Pictures come in their order, from where the user says."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from segzero.errors import BadImage
from segzero_console.frames import CATCH_UP, MAX_KEPT, FrameStore, Picture
from segzero_console.player import RecordedPlayer
from segzero_console.sources.folder import FolderSource
from segzero_console.sources.opening import open_source
from segzero_console.sources.source import EndOfSource, SourceError
from segzero_console.sources.video import VideoSource

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
        self.jumps = 0
        self.change = threading.Condition()
        self.player = RecordedPlayer(
            VideoSource(video),
            FrameStore(),
            self.on_picture,
            on_change=lambda index, playing: None,
            on_jump=self.on_jump,
            wait_for=lambda number, stop: None,
            on_error=lambda text: None,
            playing=playing,
        )

    def on_picture(self, picture: Picture) -> None:
        with self.change:
            self.shown.append(picture.index)
            self.change.notify_all()

    def on_jump(self) -> None:
        self.jumps += 1

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
