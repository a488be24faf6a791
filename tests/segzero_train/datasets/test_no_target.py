"""gRefCOCO, and questions about what a picture doesn't hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from segzero_train.datasets.items import Item
from segzero_train.datasets.negatives import Asked, make_negatives, nothing
from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.original_files import rectangle, ref, rows, run, skipped, write_refcoco

SEGMENTATIONS = {
    1: [rectangle(5, 5, 10, 20)],
    2: [rectangle(30, 8, 20, 12)],
    3: [rectangle(40, 25, 8, 8)],
}


def gref(number: int, image_id: int, meant: Any, text: str, **more: Any) -> dict[str, Any]:
    return ref(number, image_id, "train", text) | {"ann_id": meant} | more


def write_grefcoco(folder: Path, refs: list[dict[str, Any]]) -> Path:
    write_refcoco(folder, [ref(k, 70) for k in SEGMENTATIONS], SEGMENTATIONS)
    (folder / "refs(umd).p").rename(folder / "grefs(unc).json")
    (folder / "grefs(unc).json").write_text(json.dumps(refs))
    return folder


def prepared(folder: Path, refs: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    source = write_grefcoco(folder, refs)
    assert run("grefcoco", "--source", source, "--out", out, "--workers", 1) == 0
    return rows(out)


@pytest.mark.parametrize(
    ("meant", "more", "objects"),
    [
        ([1, 3], {}, 2),
        ([2], {"no_target": False}, 1),
        ([1, 2, 3, 1], {}, 3),
        ([-1], {"no_target": True}, 0),
        ([-1], {}, 0),
        (-1, {}, 0),
    ],
)
def test_a_ref_means_several_objects_one_or_none(
    meant: Any, more: dict[str, Any], objects: int, tmp_path: Path
) -> None:
    refs = [gref(1, 70, meant, "all of them", **more)]
    (row,) = prepared(tmp_path / "grefcoco", refs, tmp_path / "out")
    assert len(parse_solution(row["solution"])) == objects
    assert sorted(np.unique(row["mask"])) == list(range(objects + 1))


@pytest.mark.parametrize("meant", [[], [9], [1, 9], [1, None], [[1]], None, {"a": 1}])
def test_a_ref_to_no_annotation_is_no_question_about_nothing(meant: Any, tmp_path: Path) -> None:
    refs = [gref(1, 70, meant, "it"), gref(2, 70, [2], "the box")]
    assert len(prepared(tmp_path / "grefcoco", refs, tmp_path / "out")) == 1
    assert skipped(tmp_path / "out") == {"grefcoco-1": "malformed annotation"}


def test_pictures_with_all_their_objects_are_no_rows_of_grefcoco(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_grefcoco(tmp_path / "grefcoco", [gref(1, 70, [1], "it")])
    assert run("grefcoco", "--source", source, "--out", tmp_path / "out", "--rows", "image") == 1
    assert "leave --rows image out" in capsys.readouterr().err


def asked(number: int, image_id: int, text: str, *categories: str) -> Asked:
    item = Item(f"q{number}", text, Path(f"{image_id}.jpg"), nothing)
    return Asked(item, image_id, frozenset(categories))


CAT, DOG, CAR = (
    asked(1, 10, "the sleeping cat", "cat"),
    asked(2, 20, "two dogs", "dog"),
    asked(3, 30, "the red car", "car"),
)
PRESENT = {10: frozenset({"cat"}), 20: frozenset({"cat", "dog"}), 30: frozenset({"car"})}


def test_a_negative_asks_for_a_category_that_the_picture_lacks() -> None:
    made = make_negatives([CAT, DOG, CAR], PRESENT, 3)
    assert len(made) == 3
    for item in made:
        question = next(q for q in (CAT, DOG, CAR) if q.item.problem == item.problem)
        assert not question.categories & PRESENT[int(item.image.stem)]
        assert item.ground_truth(4, 5).masks == ()


def test_negatives_are_always_the_same_and_have_names_of_their_own() -> None:
    first, again = (make_negatives([CAT, DOG, CAR], PRESENT, 3) for _ in range(2))
    assert first == again
    assert len({item.id for item in first} | {"q1", "q2", "q3"}) == 6


@pytest.mark.parametrize(
    "question",
    [
        asked(4, 40, "the left one", "truck"),
        asked(4, 40, "the biggest", "truck"),
        asked(4, 40, "truckload of hay", "truck"),
        asked(4, 40, "the truck"),
    ],
)
def test_a_question_that_could_mean_anything_is_not_moved(question: Asked) -> None:
    known = {**PRESENT, 40: frozenset({"truck"})}
    moved = make_negatives([CAT, question], known, 2)
    assert question.item.problem not in [item.problem for item in moved]


@pytest.mark.parametrize("present", [{}, {10: frozenset[str]()}, {10: frozenset({"car", "dog"})}])
def test_a_picture_of_which_nothing_is_known_is_not_asked(present: dict[int, Any]) -> None:
    questions = [CAT, asked(5, 10, "a dog", "dog"), asked(6, 10, "a car", "car")]
    made = make_negatives(questions, present, 3)
    assert {item.problem for item in made} <= {"the sleeping cat"}
    assert bool(made) == bool(present.get(10))


def write_referring(folder: Path) -> Path:
    """Two pictures, a ball on one and a cup on the other."""
    refs = [ref(1, 70, "train", "the red ball"), ref(3, 71, "train", "a small cup")]
    write_refcoco(folder, refs, {1: SEGMENTATIONS[1], 3: SEGMENTATIONS[3]})
    file = folder / "instances.json"
    tables = json.loads(file.read_text())
    tables["categories"] = [{"id": 1, "name": "ball"}, {"id": 2, "name": "cup"}]
    tables["annotations"][1]["category_id"] = 2
    file.write_text(json.dumps(tables))
    return folder


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.5, 1), (1, 2)])
def test_any_referring_set_gets_negatives(share: float, count: int, tmp_path: Path) -> None:
    source, out = write_referring(tmp_path / "refcocog"), tmp_path / "out"
    words = ["--source", source, "--out", out, "--workers", 1, "--style", "vision_reasoner"]
    assert run("refcocog", *words, "--limit", 2, "--negatives", share) == 0
    found = {row["id"]: row for row in rows(out)}
    empty = [row for row in found.values() if row["solution"] == "[]"]
    assert (len(found), len(empty)) == (2 + count, count)
    assert {row["id"]: row["problem"] for row in empty}.items() <= {
        "refcocog-1-on-71": "the red ball",
        "refcocog-3-on-70": "a small cup",
    }.items()
    assert not any(row["mask"].any() for row in empty)


def test_rows_without_an_object_load_like_any_other(tmp_path: Path) -> None:
    refs = [gref(1, 70, [1, 2], "both"), gref(2, 70, [-1], "a horse")]
    prepared(tmp_path / "grefcoco", refs, tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), split="train")
    assert loaded["problem"] == ["both", "a horse"]


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan", "many"])
def test_an_impossible_share_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("refcocog", "--source", "s", "--out", "o", "--negatives", share)
    assert "isn't a share from 0 to 1" in capsys.readouterr().err


def test_one_object_a_row_leaves_no_room_for_negatives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_referring(tmp_path / "refcocog")
    command = ("refcocog", "--source", source, "--out", tmp_path / "out", "--negatives", 0.5)
    assert run(*command) == 1
    assert "add --style vision_reasoner" in capsys.readouterr().err
