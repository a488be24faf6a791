"""`prepare folder` on a user's own pictures, masks and questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.datasets.folder_sources import IDS, labelme, prepare, questions, shape
from tests.segzero_train.original_files import SIZE, filled, run, skipped


def test_a_question_means_all_objects_of_its_mask_or_those_named(tmp_path: Path) -> None:
    lines = [
        {"image": "a.png", "text": "all things"},
        {"image": "a.png", "text": "the box", "ids": [2], "id": "box", "category": "hard"},
    ]
    everything, box = prepare(questions(tmp_path, *lines))
    assert np.array_equal(everything["mask"], IDS)
    assert [p.box.x1 for p in parse_solution(everything["solution"])] == [5, 30]
    assert (everything["id"], everything["category"]) == ("line-1", None)
    assert (box["id"], box["category"]) == ("box", "hard")
    assert np.array_equal(box["mask"], np.where(IDS == 2, 1, np.where(IDS == 255, 255, 0)))


def test_the_same_as_csv(tmp_path: Path) -> None:
    questions(tmp_path)
    (tmp_path / "questions.jsonl").unlink()
    (tmp_path / "questions.csv").write_text(
        "image,text,ids,mask\n"
        'a.png,"a box, or a ball",1 2,\n'
        "a.png,the box,2,masks/a.png\n"
        "a.png,everything,,\n"
        "a.png,a giraffe,none,\n"
    )
    found = prepare(tmp_path)
    assert [row["problem"] for row in found] == [
        "a box, or a ball",
        "the box",
        "everything",
        "a giraffe",
    ]
    assert [len(parse_solution(row["solution"])) for row in found] == [2, 1, 2, 0]


def test_an_empty_list_says_that_nothing_matches(tmp_path: Path) -> None:
    (row,) = prepare(questions(tmp_path, {"image": "a.png", "text": "a giraffe", "ids": []}))
    assert row["solution"] == "[]"
    assert not (row["mask"] == 1).any()


@pytest.mark.parametrize(
    "ids", [[1.5], [True], [float("inf")], [float("nan")], [None], {"1": 2}, 1, "one", [[1]], [0]]
)
def test_ids_that_are_no_whole_numbers_are_named(tmp_path: Path, ids: Any) -> None:
    about = {"image": "a.png", "text": "it"}
    assert len(prepare(questions(tmp_path, about, about | {"ids": ids}))) == 1
    assert skipped(tmp_path / "out") == {"questions.jsonl line 2": "malformed question"}


def test_white_is_the_object_of_a_black_and_white_mask(tmp_path: Path) -> None:
    white = (255 * filled(5, 5, 10, 20)).astype("u1")
    (row,) = prepare(questions(tmp_path, {"image": "a.png", "text": "it"}, ids=white))
    assert np.array_equal(row["mask"], filled(5, 5, 10, 20))


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
def test_masks_are_read_as_numbers_whatever_their_kind(tmp_path: Path, mode: str) -> None:
    folder = questions(tmp_path, {"image": "a.png", "text": "it"})
    ball = filled(5, 5, 10, 20)
    if mode == "P":
        picture = Image.fromarray(ball.astype("u1"))
        picture.putpalette([200, 200, 200, 10, 10, 10])
    else:
        picture = Image.fromarray(ball if mode == "1" else ball.astype(np.uint16) * 300)
    assert picture.mode == mode
    picture.save(folder / "masks" / "a.png")
    (row,) = prepare(folder)
    assert np.array_equal(row["mask"], ball)


def test_what_can_not_be_used_is_named_by_its_line(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, (9, 0, 0)).save(tmp_path / "colour.png")
    Image.new("L", (9, 9), 1).save(tmp_path / "small.png")
    Image.new("L", SIZE, 0).save(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no picture")
    about: dict[str, Any] = {"image": "a.png", "text": "it"}
    questions(
        tmp_path,
        about,
        '{"image": "a.png", "text"',
        [1],
        {"text": "it"},
        about | {"text": 3},
        about | {"ids": ["x"]},
        about | {"ids": [0]},
        about | {"ids": [7]},
        about | {"id": "line-1"},
        about | {"mask": "none.png"},
        about | {"mask": "colour.png"},
        about | {"mask": "small.png"},
        about | {"mask": "empty.png"},
        about | {"mask": "text.png"},
        about | {"image": "b.png"},
        about | {"text": " "},
    )
    assert [row["id"] for row in prepare(tmp_path)] == ["line-1"]
    assert skipped(tmp_path / "out") == {
        "questions.jsonl line 2": "unreadable json",
        "questions.jsonl line 3": "unreadable json",
        "questions.jsonl line 4": "malformed question",
        "questions.jsonl line 5": "malformed question",
        "questions.jsonl line 6": "malformed question",
        "questions.jsonl line 7": "malformed question",
        "line-8": "empty mask",
        "questions.jsonl line 9": "malformed question",
        "line-10": "missing mask",
        "line-11": "malformed mask",
        "line-12": "size mismatch",
        "line-13": "empty mask",
        "line-14": "corrupt mask",
        "line-15": "missing image",
        "line-16": "unusable text",
    }


@pytest.mark.parametrize("written", ["my%20picture.png", ".\\my picture.png", "my picture.png "])
@pytest.mark.parametrize("kind", ["questions.jsonl", "labelme"])
def test_other_layouts_find_a_picture_as_cocos_does(
    tmp_path: Path, kind: str, written: str
) -> None:
    if kind == "labelme":
        labelme(tmp_path, "my picture", shape("cup", 5, 5, 10, 20))
        content = json.loads((tmp_path / "my picture.json").read_text())
        (tmp_path / "my picture.json").write_text(json.dumps(content | {"imagePath": written}))
    else:
        questions(tmp_path, {"image": written, "text": "it"})
        (tmp_path / "a.png").rename(tmp_path / "my picture.png")
        (tmp_path / "masks/a.png").rename(tmp_path / "masks/my picture.png")
    assert len(prepare(tmp_path)) == 1


@pytest.mark.parametrize("names", [(), ("questions.csv", "annotations.json")])
def test_a_folder_needs_one_file_of_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    assert run("folder", "--source", tmp_path, "--out", tmp_path / "out") == 1
    assert "must hold one of questions.jsonl" in capsys.readouterr().err


def test_a_file_of_questions_in_another_code_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "questions.jsonl").write_bytes('{"text": "café"}'.encode("latin-1"))
    assert run("folder", "--source", tmp_path, "--out", tmp_path / "out") == 1
    assert "questions.jsonl isn't a readable UTF-8 file" in capsys.readouterr().err
