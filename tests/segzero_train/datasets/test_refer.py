"""`prepare refcoco|refcoco+|refcocog` on small files in the original formats."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.original_files import (
    SIZE,
    filled,
    rectangle,
    ref,
    rows,
    run,
    skipped,
    write_refcoco,
)

BALL, BOX, CUP = filled(5, 5, 10, 20), filled(30, 8, 20, 12), filled(40, 25, 8, 8)
COMPRESSED = coco_mask.encode(np.asfortranarray(CUP.astype(np.uint8)))
SEGMENTATIONS = {
    1: [rectangle(5, 5, 10, 20)],
    2: [rectangle(30, 8, 10, 12), rectangle(40, 8, 10, 12)],
    3: {"counts": COMPRESSED["counts"].decode(), "size": [SIZE[1], SIZE[0]]},
}
REFS = [
    ref(1, 70, "train", "The Red Ball. ", "ball on the left"),
    ref(2, 70, "train", "the box!"),
    ref(3, 71, "val", "The cup.", "a cup"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_refcoco(tmp_path / "refcocog", REFS, SEGMENTATIONS)
    return tmp_path / "refcocog"


def test_training_has_a_row_for_each_object(source: Path, tmp_path: Path) -> None:
    assert run("refcocog", "--source", source, "--out", tmp_path / "out", "--workers", 1) == 0
    ball, box = rows(tmp_path / "out")
    assert [ball["id"], box["id"]] == ["refcocog-1", "refcocog-2"]
    assert [ball["problem"], box["problem"]] == ["the red ball", "the box"]
    assert ball["image"].shape == (840, 840, 3)
    assert (ball["img_width"], ball["img_height"]) == SIZE
    # 840 / 60 = 14 and 840 / 40 = 21 to each side; the pixels 5 … 14 and 5 … 24.
    assert ball["solution"].startswith("<box>(70,105),(196,504)</box><points>")
    (placed,) = parse_solution(box["solution"])
    assert (placed.box.x1, placed.box.x2) == (30 * 14, 49 * 14)


def test_evaluation_has_a_row_for_each_sentence_at_the_original_size(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("refcocog", "--source", source, "--out", out, "--split", "val") == 0
    found = rows(out, "val")
    assert [row["problem"] for row in found] == ["the cup.", "a cup"]
    assert [row["id"] for row in found] == ["refcocog-3-30", "refcocog-3-31"]
    assert all(np.array_equal(row["mask"], CUP) for row in found)
    assert found[0]["file"] == (source / "train2014/COCO_71.jpg").read_bytes()


def test_a_picture_with_all_its_objects(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("refcocog", "--source", source, "--out", out, "--rows", "image")
    assert run(*arguments) == 1
    assert run(*arguments, "--style", "vision_reasoner", "--size", "original") == 0
    (row,) = rows(out)
    assert row["id"] == "refcocog-image-70"
    assert row["problem"] == "'the red ball' and 'the box'"
    assert [placed.box.x1 for placed in parse_solution(row["solution"])] == [5, 30]
    assert np.array_equal(row["mask"], BALL + 2 * BOX)


@pytest.mark.parametrize("name", ["refcoco", "refcoco+"])
def test_refcoco_is_found_beside_the_others(tmp_path: Path, name: str) -> None:
    write_refcoco(tmp_path / name, REFS, SEGMENTATIONS, file="refs(unc).p")
    pictures = tmp_path / "images/mscoco/images/train2014"
    pictures.parent.mkdir(parents=True)
    (tmp_path / name / "train2014").rename(pictures)
    assert run(name, "--source", tmp_path, "--out", tmp_path / "out", "--size", "original") == 0
    assert len(rows(tmp_path / "out")) == 2


def test_pictures_elsewhere_are_named(source: Path, tmp_path: Path) -> None:
    (source / "train2014").rename(tmp_path / "pictures")
    command = ("refcocog", "--source", source, "--out", tmp_path / "out", "--size", "original")
    assert run(*command) == 1
    assert run(*command, "--images", tmp_path / "pictures") == 0


def test_what_can_not_be_used_is_named_and_the_rest_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {
        4: [],
        5: [rectangle(500, 500, 9, 9)],
        6: {"counts": [1], "size": [SIZE[1], SIZE[0]]},
        8: [rectangle(0, 0, 9, 9)],
        9: [rectangle(0, 0, 9, 9)],
        10: [rectangle(0, 0, 9, 9)],
    }
    refs = [*REFS, *(ref(k, 70 + k) for k in range(4, 11))]
    refs[-1]["sentences"] = []
    write_refcoco(tmp_path / "s", refs, SEGMENTATIONS | bad)
    pictures = tmp_path / "s/train2014"
    (pictures / "COCO_78.jpg").unlink()
    whole = (pictures / "COCO_79.jpg").read_bytes()
    (pictures / "COCO_79.jpg").write_bytes(whole[:-200])
    out = tmp_path / "out"
    assert run("refcocog", "--source", tmp_path / "s", "--out", out, "--workers", 1) == 0
    assert len(rows(out)) == 2
    assert skipped(out) == {
        "refcocog-4": "empty mask",
        "refcocog-5": "empty mask",
        "refcocog-6": "malformed annotation",
        "refcocog-7": "malformed annotation",
        "refcocog-8": "missing image",
        "refcocog-9": "corrupt image",
        "refcocog-10": "malformed annotation",
    }
    printed = capsys.readouterr().out
    assert "2 rows" in printed
    assert "skipped 1: missing image, such as refcocog-8" in printed
    assert "COCO_78.jpg" in printed


@pytest.mark.parametrize("rows_of", ["ref", "sentence", "image"])
@pytest.mark.parametrize(
    "changes",
    [
        {"ann_id": [1]},
        {"ann_id": {"a": 1}},
        {"ann_id": None},
        {"image_id": [70]},
        {"image_id": None},
        {"image_id": 71},
        {"ann_id": 3},
        {"sentences": None},
    ],
)
def test_a_ref_that_does_not_fit_is_named_and_skipped(
    tmp_path: Path, changes: dict[str, Any], rows_of: str
) -> None:
    refs = [ref(1, 69), ref(2, 70) | changes, ref(3, 71, "val")]
    write_refcoco(tmp_path / "s", [ref(1, 69), ref(2, 70), ref(3, 71)], SEGMENTATIONS)
    (tmp_path / "s/refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))
    command = ("refcocog", "--source", tmp_path / "s", "--out", tmp_path / "out", "--workers", 1)
    assert run(*command, "--rows", rows_of, "--style", "vision_reasoner") == 0
    assert len(rows(tmp_path / "out")) == 1
    assert list(skipped(tmp_path / "out").values()) == ["malformed annotation"]


def tables_of(source: Path, change: Any) -> None:
    file = source / "instances.json"
    tables = json.loads(file.read_text())
    change(tables)
    file.write_text(json.dumps(tables))


REPEATED = {
    "an image": lambda tables: tables["images"].append(tables["images"][0] | {"file_name": "x"}),
    "an annotation": lambda tables: tables["annotations"].append(tables["annotations"][0]),
    "an annotation's image": lambda tables: tables["annotations"][0].update(image_id=71),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_equal_ids_are_named_and_skipped(source: Path, tmp_path: Path, kind: str) -> None:
    refs = [ref(1, 70), ref(3, 71)]
    (source / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))
    tables_of(source, REPEATED[kind])
    out = tmp_path / "out"
    assert run("refcocog", "--source", source, "--out", out, "--workers", 1) == 0
    assert [row["id"] for row in rows(out)] == ["refcocog-3"]
    assert skipped(out) == {"refcocog-1": "malformed annotation"}


@pytest.mark.parametrize("kind", [str, float])
@pytest.mark.parametrize("key", ["ann_id", "image_id"])
def test_an_id_of_a_ref_is_the_same_as_number_and_as_text(
    source: Path, tmp_path: Path, key: str, kind: Any
) -> None:
    refs = [ref(1, 70), ref(3, 71)]
    refs[0][key] = kind(refs[0][key])
    (source / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))
    out = tmp_path / "out"
    assert run("refcocog", "--source", source, "--out", out, "--workers", 1) == 0
    assert [row["id"] for row in rows(out)] == ["refcocog-1", "refcocog-3"]


@pytest.mark.parametrize(
    "written", ["train2014/COCO_70.jpg", "train2014\\COCO_70.jpg", "x/COCO_70.jpg"]
)
def test_a_picture_with_folders_in_its_name_is_found(
    source: Path, tmp_path: Path, written: str
) -> None:
    tables_of(source, lambda tables: tables["images"][0].update(file_name=written))
    assert run("refcocog", "--source", source, "--out", tmp_path / "out", "--workers", 1) == 0
    assert len(rows(tmp_path / "out")) == 2


def test_the_broken_part_of_an_annotation_is_dropped_and_said(source: Path, tmp_path: Path) -> None:
    tables_of(source, lambda tables: tables["annotations"][0]["segmentation"].append([3, 3]))
    out = tmp_path / "out"
    assert run("refcocog", "--source", source, "--out", out, "--size", "original") == 0
    assert np.array_equal(rows(out)[0]["mask"], BALL)
    assert skipped(out) == {"annotation 1": "malformed polygon"}


def test_an_unknown_split_is_refused_with_those_that_are(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("refcocog", "--source", source, "--out", tmp_path / "out", "--split", "testA")
    assert run(*command) == 1
    assert "train (2 refs), val (1 refs)" in capsys.readouterr().err


class Harmful:
    """Unpickling it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.file,))


def test_refs_that_name_code_are_refused_and_not_run(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "refs(umd).p").write_bytes(pickle.dumps([Harmful(tmp_path / "made")]))
    assert run("refcocog", "--source", source, "--out", tmp_path / "out") == 1
    assert "isn't plain data" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("refs(umd).p", b"\x80\x02]q\x00"),
        ("refs(umd).p", b"junk"),
        ("refs(umd).p", pickle.dumps({"a": 1})),
        ("refs(umd).p", None),
        ("instances.json", b'{"images": ['),
        ("instances.json", b"{}"),
        ("instances.json", b'{"images": [3], "annotations": []}'),
        ("instances.json", None),
    ],
)
def test_a_broken_file_is_named_in_one_line(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: bytes | None,
) -> None:
    if content is None:
        (source / file).unlink()
    else:
        (source / file).write_bytes(content)
    assert run("refcocog", "--source", source, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert file in error
