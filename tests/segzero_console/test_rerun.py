"""A recording for Rerun's viewer, read back by Rerun's own reader."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segzero.errors import SegZeroError
from segzero_console import rerun_log
from segzero_console.command import annotate
from segzero_console.frames import Picture
from segzero_console.local import LocalBackend
from segzero_console.messages import Ended, Result, ShownObject
from segzero_console.rerun_log import RerunLog
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.browsing import Browser, serve
from tests.segzero_console.conftest import no_models

rerun = pytest.importorskip("rerun", reason="rerun-sdk isn't installed")

SIZE = (48, 64)
MASK = np.zeros(SIZE, np.uint8)
MASK[10:20, 5:30] = 3
CUP = ShownObject(3, 1, "g", "cup", (5, 10, 30, 20), 0.9, centroid=(0.1, 0.2, 0.8))
LOST = ShownObject(4, 2, "g", "mug", (), 0.0, lost=True)


def picture(stamp: int, value: int = 0) -> Picture:
    return Picture(stamp, np.full((*SIZE, 3), value, np.uint8), index=stamp, number=stamp)


def found(stamp: int, state: Any = "tracked", **more: Any) -> Result:
    return Result(stamp, state, objects=(CUP, LOST), mask=MASK, points_frame="map", **more)


def record(path: Path, happen: Callable[[RerunLog], None]) -> dict[str, list[dict[str, Any]]]:
    """What a recording has by path: rows by column."""
    log = RerunLog(path)
    log.start(live=False, on_error=lambda what, error: pytest.fail(f"{what}: {error}"))
    happen(log)
    log.close()
    return read(path)


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows in the order in which they were logged; the reader gives chunks in any order."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for chunk in rerun.chunk.RrdReader(path).stream():
        rows.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    return {
        name: sorted(found, key=lambda row: row["rerun.controls.RowId"])
        for name, found in rows.items()
    }


def values(rows: list[dict[str, Any]], column: str) -> list[Any]:
    return [row[column][0] for row in rows if row.get(column)]


def test_pictures_and_their_masks_have_the_same_time(tmp_path: Path) -> None:
    def happen(log: RerunLog) -> None:
        log.frame(picture(1, 50))
        log.frame(picture(2, 200))
        log.result(found(2), picture(2, 200))

    rows = record(tmp_path / "a.rrd", happen)
    jpegs = values(rows["/camera"], "EncodedImage:blob")
    shown = [cv2.imdecode(np.array(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    assert [round(float(rgb.mean())) for rgb in shown if rgb is not None] == [50, 200]
    (masks,) = rows["/camera/found/followed/masks"]
    ids = np.array(masks["SegmentationImage:buffer"][0], np.uint8).reshape(SIZE)
    np.testing.assert_array_equal(ids, MASK)
    assert masks["time"] == rows["/camera"][1]["time"]
    (boxes,) = rows["/camera/found/followed/boxes"]
    assert boxes["Boxes2D:labels"] == ["3 cup"]
    assert boxes["Boxes2D:centers"] == [[17.5, 15.0]]


def test_a_place_lies_in_its_frame_in_metres(tmp_path: Path) -> None:
    rows = record(tmp_path / "a.rrd", lambda log: log.result(found(2), picture(2)))
    (points,) = rows["/places/map"]
    assert points["Points3D:positions"] == [pytest.approx([0.1, 0.2, 0.8])]
    assert points["Points3D:labels"] == ["3 cup"]


def test_each_picture_clears_what_was_found_before_it(tmp_path: Path) -> None:
    def happen(log: RerunLog) -> None:
        log.result(found(1), picture(1))
        log.frame(picture(2))

    rows = record(tmp_path / "a.rrd", happen)
    for path in ("/camera/found", "/places"):
        assert values(rows[path], "Clear:is_recursive") == [True, True]


def test_thinking_and_outcome_stand_below_their_goal(tmp_path: Path) -> None:
    def happen(log: RerunLog) -> None:
        log.frame(picture(1))
        log.thinking("r", "red cups", "It is ")
        log.thinking("r", "red cups", "left.")
        log.ended(Ended("r", "red cups", "answered", "It is left.", objects=1, question="which?"))

    rows = record(tmp_path / "a.rrd", happen)
    texts = values(rows["/thinking/red\\ cups"], "TextDocument:text")
    assert texts[0] == "It is "
    assert texts[-1] == "which?\n\nIt is left.\n\nanswered, 1 objects"
    assert values(rows["/questions"], "TextLog:text") == ["which?: answered, 1 objects"]


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (found(1), None),
        (found(1), Picture(1, np.zeros((*SIZE, 3), np.uint8))),
        (Result(1, "failed", error="no"), picture(1)),
    ],
    ids=["no picture", "dropped in", "no mask"],
)
def test_masks_without_a_picture_of_the_source_are_not_written(
    tmp_path: Path, result: Result, shown: Picture | None
) -> None:
    rows = record(tmp_path / "a.rrd", lambda log: log.result(result, shown))
    assert not [path for path in rows if path.startswith("/camera")]


def test_a_recording_that_was_written_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun_log, "FLUSH", 0.001)

    def happen(log: RerunLog) -> None:
        for stamp in range(1, 6):
            log.frame(picture(stamp))
            time.sleep(0.01)

    rows = record(tmp_path / "a.rrd", happen)
    assert len(values(rows["/camera"], "EncodedImage:blob")) == 5


def test_the_console_records_pictures_and_questions(pictures: Path, tmp_path: Path) -> None:
    log = RerunLog(tmp_path / "a.rrd")
    backend = LocalBackend(no_models, FolderSource(pictures), "none")
    with serve(backend, tmp_path / "rows", log=log) as server:
        browser = Browser(server)
        browser.wait("frame")
        browser.send(type="seek", index=1)
        browser.wait("frame", lambda m: m["index"] == 1)
        browser.send(type="ask", request="r", text="the cup")
        browser.wait("ended")
        browser.close()
    rows = read(tmp_path / "a.rrd")
    assert len(values(rows["/camera"], "EncodedImage:blob")) == 2
    assert values(rows["/questions"], "TextLog:text") == ["the cup: there are no weights"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("there.rrd", "exists already"),
        ("film.mp4", "ends in .rrd"),
        ("nowhere/film.rrd", "can't be made"),
    ],
)
def test_a_file_that_can_not_be_made_is_one_line(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    (tmp_path / "there.rrd").touch()
    options = ["--out", str(tmp_path / "rows"), "--port", "0", "--rerun", str(tmp_path / name)]
    assert annotate([str(pictures), *options]) == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_without_rerun_the_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(SegZeroError, match=r"pip install 'segzero\[rerun\]'"):
        RerunLog(tmp_path / "a.rrd")
