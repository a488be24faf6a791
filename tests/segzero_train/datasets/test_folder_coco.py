"""`prepare folder` on COCO's annotations.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.datasets.folder_sources import BALL, BOX, IDS, coco, prepare, with_images
from tests.segzero_train.original_files import SIZE, filled, noise, run, save, skipped


def test_a_category_is_a_question_about_all_of_its_annotations(tmp_path: Path) -> None:
    (row,) = prepare(coco(tmp_path, {"segmentation": BALL}, {"segmentation": BOX}))
    assert (row["id"], row["problem"]) == ("7-cup", "cup")
    assert np.array_equal(row["mask"], np.where(IDS == 255, 0, IDS))


def test_a_caption_is_a_question_of_its_own(tmp_path: Path) -> None:
    captioned = {"segmentation": BALL, "caption": "the ball on the left"}
    ball, box = prepare(coco(tmp_path, captioned, {"segmentation": BOX}))
    assert (ball["problem"], box["problem"]) == ("the ball on the left", "cup")


def test_crowds_are_not_counted(tmp_path: Path) -> None:
    counts = {"counts": [0, SIZE[0] * SIZE[1]], "size": [SIZE[1], SIZE[0]]}
    crowd = {"segmentation": counts, "iscrowd": 1}
    (row,) = prepare(coco(tmp_path, {"segmentation": BALL}, crowd))
    assert np.array_equal(row["mask"], np.where(filled(5, 5, 10, 20), 1, 255))


def test_annotations_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    coco(
        tmp_path,
        {"segmentation": BALL},
        {"segmentation": BALL, "category_id": 2},
        {"segmentation": BALL, "image_id": 8},
        {"caption": "empty"},
    )
    assert len(prepare(tmp_path)) == 1
    assert skipped(tmp_path / "out") == {
        "annotation 1": "unknown category",
        "annotation 2": "malformed annotation",
        "7-empty": "empty mask",
    }


PLACES: dict[str, tuple[str, str]] = {
    "the name alone": ("seven.png", "images/seven.png"),
    "the folder named too": ("images/seven.png", "images/seven.png"),
    "a backslash": ("images\\seven.png", "images/seven.png"),
    "a dot": ("./images/seven.png", "images/seven.png"),
    "folders of another machine": ("C:\\data\\images\\seven.png", "images/seven.png"),
    "an absolute path of another machine": ("/data/x/seven.png", "images/seven.png"),
    "beside the file": ("b.png", "b.png"),
    "a folder in images": ("left/b.png", "images/left/b.png"),
    "another folder": ("left/b.png", "left/b.png"),
    "URL escapes": ("my%20picture.png", "images/my picture.png"),
    "what only looks like an escape": ("my%20picture.png", "images/my%20picture.png"),
    "an address": ("https://example.org/set/b%C3%A9.png?raw=1", "images/b\u00e9.png"),
    "a file's address": ("file:///data/set/b.png", "b.png"),
    "composed letters": ("cafe\u0301.png", "images/caf\u00e9.png"),
    "decomposed letters": ("caf\u00e9.png", "cafe\u0301.png"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_picture_is_found_by_its_name(tmp_path: Path, kind: str) -> None:
    written, place = PLACES[kind]
    with_images(tmp_path, {"id": 1, "file_name": written})
    save(noise(seed=3), tmp_path / place)
    (row,) = prepare(tmp_path)
    assert np.array_equal(row["image"], np.asarray(noise(seed=3)))


@pytest.mark.parametrize(
    "written", ["a\0.png", "a\ud800.png", "a" * 5000, "", " ", "/", None, 7, ["a.png"]]
)
def test_a_name_that_no_file_has_is_named_and_skipped(tmp_path: Path, written: Any) -> None:
    with_images(tmp_path, {"id": 1, "file_name": written}, {"id": 2, "file_name": "seven.png"})
    assert [row["id"] for row in prepare(tmp_path)] == ["2-cup"]
    assert list(skipped(tmp_path / "out")) == ["1-cup"]


def test_a_folder_is_not_left_out_where_names_repeat(tmp_path: Path) -> None:
    names = ("left/a.png", "right/a.png", "seven.png")
    with_images(tmp_path, *({"id": k, "file_name": name} for k, name in enumerate(names)))
    save(noise(), tmp_path / "images/a.png")
    assert [row["id"] for row in prepare(tmp_path)] == ["2-cup"]
    assert skipped(tmp_path / "out") == {"0-cup": "missing image", "1-cup": "missing image"}


PARTS: dict[str, tuple[Any, str | None]] = {
    "a stray point": ([[3, 3], *BALL], "1 of 2 polygons"),
    "a stray line": ([*BALL, [3, 3, 9, 9]], "1 of 2 polygons"),
    "an odd number": ([*BALL, [3, 3, 9, 9, 4, 4, 5]], "1 of 2 polygons"),
    "far outside": ([*BALL, [3, 3, 1e9, 9, 4, 4]], "1 of 2 polygons"),
    "text": ([*BALL, ["a"] * 6, []], "2 of 3 polygons"),
    "a flat list": (BALL[0], None),
    "a flat list of floats": ([float(v) for v in BALL[0]], None),
    "points": ([[5, 5], [15, 5], [15, 25], [5, 25]], None),
    "points of several": ([[[5, 5], [15, 5], [15, 25], [5, 25]], [[9, 9]]], "1 of 2 polygons"),
    "an empty one": ([*BALL, []], "1 of 2 polygons"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_only_the_broken_part_of_a_polygon_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    segmentation, dropped = PARTS[kind]
    (row,) = prepare(coco(tmp_path, {"segmentation": segmentation}))
    assert np.array_equal(row["mask"], filled(5, 5, 10, 20))
    expected = {"annotation 0": "malformed polygon"} if dropped else {}
    assert skipped(tmp_path / "out") == expected
    assert (dropped or "rows") in capsys.readouterr().out


@pytest.mark.parametrize("segmentation", [[[3, 3]], [3, 3], [["a"] * 6], [[[1, 2], [3, 4]]], "x"])
def test_a_polygon_without_a_usable_part_is_skipped_by_name(
    tmp_path: Path, segmentation: Any
) -> None:
    good = {"segmentation": BALL, "caption": "good"}
    assert len(prepare(coco(tmp_path, good, {"segmentation": segmentation}))) == 1
    assert skipped(tmp_path / "out") == {"7-cup": "malformed annotation"}


@pytest.mark.parametrize(
    "ids",
    [
        {"image_id": "7"},
        {"image_id": 7.0},
        {"category_id": "1"},
        {"category_id": 1.0, "image_id": "7"},
    ],
)
def test_an_id_is_the_same_as_number_and_as_text(tmp_path: Path, ids: dict[str, Any]) -> None:
    (row,) = prepare(coco(tmp_path, {"segmentation": BALL} | ids, {"segmentation": BOX}))
    assert (row["id"], len(parse_solution(row["solution"]))) == ("7-cup", 2)


def test_an_annotation_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    ball = {"id": 4, "segmentation": BALL}
    (row,) = prepare(coco(tmp_path, ball, ball, {"segmentation": BOX}))
    assert len(parse_solution(row["solution"])) == 2


@pytest.mark.parametrize(
    ("value", "counts"),
    [(0, True), ("0", True), (False, True), (None, True), (1, False), ("1", False), (True, False)],
)
def test_what_is_a_crowd_is_read_in_every_spelling(
    tmp_path: Path, value: Any, counts: bool
) -> None:
    coco(tmp_path, {"segmentation": BALL}, {"segmentation": BOX, "iscrowd": value})
    (row,) = prepare(tmp_path)
    assert len(parse_solution(row["solution"])) == 1 + counts
    assert (row["mask"] == 255).any() != counts


UNCLEAR: dict[str, tuple[dict[str, Any], str, str]] = {
    "only crowds": ({"iscrowd": 1}, "7-ball", "empty mask"),
    "no answer to iscrowd": ({"iscrowd": "no"}, "annotation 1", "malformed annotation"),
    "a box alone": ({"segmentation": [], "bbox": [5, 5, 10, 20]}, "7-ball", "empty mask"),
    "no segmentation": ({"segmentation": None}, "7-ball", "empty mask"),
    "several captions": ({"caption": ["a", "b"]}, "annotation 1", "malformed question"),
    "a number as caption": ({"caption": 5}, "annotation 1", "malformed question"),
    "a category of two names": ({"category_id": 3}, "annotation 1", "unknown category"),
    "a category without a name": ({"category_id": 4}, "annotation 1", "unknown category"),
    "a truth for an id": ({"image_id": True}, "annotation 1", "malformed annotation"),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_no_annotation_is_lost_without_a_word(tmp_path: Path, kind: str) -> None:
    entry, name, reason = UNCLEAR[kind]
    ball = {"category_id": 2, "segmentation": BALL}
    coco(tmp_path, {"segmentation": BALL}, ball | entry)
    file = tmp_path / "annotations.json"
    names: dict[int, list[str | None]] = {1: ["cup"], 2: ["ball"], 3: ["a", "b"], 4: [None]}
    categories = [{"id": k, "name": name} for k, listed in names.items() for name in listed]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"categories": categories}))
    assert [row["id"] for row in prepare(tmp_path)] == ["7-cup"]
    assert skipped(tmp_path / "out") == {name: reason}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"images": {"7": {}}}, "images isn't a list of objects"),
        ({"annotations": [[1, 2]]}, "annotations isn't a list of objects"),
        ({"categories": ["cup"]}, "categories isn't a list of objects"),
        ({"images": None}, "images isn't a list of objects"),
    ],
)
def test_a_table_of_another_kind_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tables: dict[str, Any], message: str
) -> None:
    file = coco(tmp_path, {"segmentation": BALL}) / "annotations.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | tables))
    assert run("folder", "--source", tmp_path, "--out", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(message)


def test_equal_ids_of_pictures_are_named_and_skipped(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "seven.png"}]
    with_images(tmp_path, *images, {"id": 2, "file_name": "seven.png"})
    save(noise(), tmp_path / "images/a.png")
    assert [row["id"] for row in prepare(tmp_path)] == ["2-cup"]
    assert skipped(tmp_path / "out") == {
        "annotation 0": "malformed annotation",
        "annotation 1": "malformed annotation",
    }


def test_a_picture_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    same = {"id": 1, "file_name": "seven.png"}
    tables = {"annotations": [{"id": 0, "image_id": 1, "category_id": 1, "segmentation": BALL}]}
    (row,) = prepare(with_images(tmp_path, same, same, **tables))
    assert len(parse_solution(row["solution"])) == 1


@pytest.mark.parametrize(
    "entry", [{"image_id": [7]}, {"image_id": None}, {"category_id": [1]}, {"category_id": {}}]
)
def test_an_id_that_is_none_is_named_and_skipped(tmp_path: Path, entry: dict[str, Any]) -> None:
    good = {"segmentation": BALL}
    assert len(prepare(coco(tmp_path, good, good | entry))) == 1
    assert list(skipped(tmp_path / "out")) == ["annotation 1"]
