"""Saved corrections are rows that `prepare folder` reads."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest

from segzero.errors import BadPrompt, BadQuestion, SegZeroError
from segzero_console.rows import RowWriter
from segzero_train.datasets import folder

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    drawn = np.zeros((48, 64), bool)
    drawn[top:bottom, left:right] = True
    return drawn


LEFT, RIGHT = mask(2, 2, 20, 30), mask(30, 10, 60, 40)


def test_prepare_reads_every_row_with_its_masks(tmp_path: Path) -> None:
    rows = RowWriter(tmp_path / "rows")
    rows.save(1, PICTURE, "both cups", [LEFT, RIGHT])
    rows.save(1, PICTURE, "the right one", [RIGHT])
    assert rows.save(2, PICTURE, 'a "spoon" of <img>', []) == 3
    items, skipped = folder.items(tmp_path / "rows")
    assert skipped == []
    assert [item.problem for item in items] == ["both cups", "the right one", 'a "spoon" of <img>']
    truths = [item.ground_truth(48, 64).masks for item in items]
    assert [len(masks) for masks in truths] == [2, 1, 0]
    np.testing.assert_array_equal(truths[0], [LEFT, RIGHT])


def test_rows_about_one_frame_share_its_picture(tmp_path: Path) -> None:
    rows = RowWriter(tmp_path)
    for question in ("a", "b", "c"):
        rows.save(7, PICTURE, question, [LEFT])
    assert len(list((tmp_path / "images").iterdir())) == 1


def test_a_folder_is_continued(tmp_path: Path) -> None:
    RowWriter(tmp_path).save(1, PICTURE, "a", [LEFT])
    again = RowWriter(tmp_path)
    assert again.count == 1
    assert again.save(1, PICTURE, "b", [RIGHT]) == 2
    ids = [json.loads(line)["id"] for line in (tmp_path / "questions.jsonl").open()]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("name", ["annotations.json", "questions.csv"])
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SegZeroError, match=name):
        RowWriter(tmp_path)


@pytest.mark.parametrize(
    "masks",
    [[mask(0, 0, 0, 0)], [LEFT, mask(5, 5, 5, 9)], [LEFT, LEFT], [LEFT] * 255],
    ids=["empty", "second empty", "hidden", "too many"],
)
def test_an_object_without_a_pixel_is_no_row(tmp_path: Path, masks: list) -> None:
    rows = RowWriter(tmp_path / "rows")
    with pytest.raises(BadPrompt):
        rows.save(1, PICTURE, "cups", masks)
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("question", ["", "  ", "a" * 2001])
def test_a_row_needs_a_question(tmp_path: Path, question: str) -> None:
    with pytest.raises(BadQuestion):
        RowWriter(tmp_path).save(1, PICTURE, question, [LEFT])


def test_a_full_disk_leaves_whole_rows_and_no_other_files(tmp_path: Path) -> None:
    rows, lines = RowWriter(tmp_path), tmp_path / "questions.jsonl"
    grey = np.full_like(PICTURE, 9)
    for stamp in range(1, 21):
        rows.save(stamp, grey, "a cup", [LEFT])
    whole, files = lines.read_bytes(), sorted(tmp_path.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))  # the line ends in it
    try:
        with pytest.raises(OSError, match="File too large"):
            rows.save(21, grey, "a cup", [LEFT])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (lines.read_bytes(), sorted(tmp_path.rglob("*"))) == (whole, files)
    assert rows.save(21, grey, "a cup", [LEFT]) == 21
    assert folder.items(tmp_path)[1] == []


def test_a_line_that_an_editor_left_open_is_ended(tmp_path: Path) -> None:
    RowWriter(tmp_path).save(1, PICTURE, "a", [LEFT])
    lines = tmp_path / "questions.jsonl"
    lines.write_text(lines.read_text().rstrip())
    RowWriter(tmp_path).save(2, PICTURE, "b", [LEFT])
    assert [json.loads(line)["text"] for line in lines.open()] == ["a", "b"]
