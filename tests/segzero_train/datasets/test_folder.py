"""`prepare folder` on a user's own pictures, masks and questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segzero_train.datasets.columns import parse_solution
from tests.segzero_train.original_files import (
    SIZE,
    filled,
    noise,
    rectangle,
    rows,
    run,
    save,
    skipped,
)

IDS = (filled(5, 5, 10, 20) + 2 * filled(30, 8, 20, 12) + 255 * filled(0, 35, 60, 5)).astype("u1")


def questions(folder: Path, *lines: Any, ids: np.ndarray = IDS) -> Path:
    """questions.jsonl about the picture a.png, whose mask is masks/a.png."""
    save(noise(), folder / "a.png")
    save(Image.fromarray(ids), folder / "masks" / "a.png")
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")
    return folder


def prepare(source: Path, *options: str) -> list[dict[str, Any]]:
    out = source / "out"
    assert run("folder", "--source", source, "--out", out, "--size", "original", *options) == 0
    return rows(out)


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


def coco(folder: Path, *annotations: dict[str, Any]) -> Path:
    """annotations.json about the picture 7, images/seven.png."""
    save(noise(), folder / "images" / "seven.png")
    tables = {
        "images": [{"id": 7, "file_name": "seven.png", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [
            {"id": k, "image_id": 7, "category_id": 1} | entry
            for k, entry in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (folder / "annotations.json").write_text(json.dumps(tables))
    return folder


BALL, BOX = [rectangle(5, 5, 10, 20)], [rectangle(30, 8, 20, 12)]


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


def with_images(folder: Path, *images: dict[str, Any], **tables: Any) -> Path:
    """The file of `coco` with other images; annotation k is of image k."""
    about = [{"image_id": image["id"], "segmentation": BALL} for image in images]
    coco(folder, *about)
    file = folder / "annotations.json"
    size = {"width": SIZE[0], "height": SIZE[1]}
    content = json.loads(file.read_text()) | {"images": [size | image for image in images]}
    file.write_text(json.dumps(content | tables))
    return folder


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


def labelme(folder: Path, name: str, *shapes: dict[str, Any], size: tuple[int, int] = SIZE) -> None:
    """A picture with LabelMe's json file beside it."""
    save(noise(), folder / f"{name}.png")
    content = {"imagePath": f"{name}.png", "imageWidth": size[0], "imageHeight": size[1]}
    (folder / f"{name}.json").write_text(json.dumps(content | {"shapes": list(shapes)}))


def shape(label: str, x: int, y: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    corners = [[x, y], [x + width - 1, y + height - 1]]
    return {"label": label, "shape_type": "rectangle", "points": corners, **more}


def test_labels_of_labelme_are_questions(tmp_path: Path) -> None:
    left, right, other = (5, 5, 10, 20), (30, 8, 20, 12), (0, 30, 5, 5)
    labelme(tmp_path, "a", shape("Cup", *left), shape("Cup", *right), shape("box", *other))
    cup, box = prepare(tmp_path)
    assert [row["problem"] for row in (cup, box)] == ["Cup", "box"]
    assert np.array_equal(cup["mask"], filled(*left) + 2 * filled(*right))
    assert np.array_equal(box["mask"], filled(*other).astype("u1"))


def test_shapes_of_a_labelme_group_are_one_object(tmp_path: Path) -> None:
    left, right = (5, 5, 10, 20), (30, 8, 20, 12)
    labelme(tmp_path, "a", *(shape("cup", *place, group_id=3) for place in (left, right)))
    (row,) = prepare(tmp_path)
    assert np.array_equal(row["mask"], filled(*left).astype("u1") + filled(*right))


def test_what_of_labelme_can_not_be_used_is_reported(tmp_path: Path) -> None:
    good = shape("cup", 5, 5, 10, 20)
    labelme(tmp_path, "a", good, {"label": "line", "shape_type": "line", "points": [[0, 0]]})
    labelme(tmp_path, "b", good, size=(9, 9))
    (tmp_path / "c.json").write_text('{"shapes": []}')
    assert len(prepare(tmp_path)) == 1
    assert skipped(tmp_path / "out") == {
        "a.json shape 2": "malformed annotation",
        "b-cup": "size mismatch",
        "c.json": "malformed annotation",
    }


CORNERS = [[5, 5], [14, 5], [14, 24], [5, 24]]
AREAS: dict[str, dict[str, Any]] = {
    "a polygon": {"shape_type": "polygon", "points": CORNERS},
    "no type": {"shape_type": None, "points": CORNERS},
    "capitals": {"shape_type": "Polygon", "points": CORNERS},
    "a turned rectangle": {"shape_type": "rotation", "points": CORNERS},
    "an oriented rectangle": {"shape_type": "oriented_rectangle", "points": CORNERS},
    "corners the other way": {"points": [[14, 24], [5, 5]]},
    "all four corners": {"points": CORNERS},
}


@pytest.mark.parametrize("kind", AREAS)
def test_a_labelme_shape_covers_its_area(tmp_path: Path, kind: str) -> None:
    labelme(tmp_path, "a", shape("cup", 0, 0, 1, 1) | AREAS[kind])
    (row,) = prepare(tmp_path)
    assert np.array_equal(row["mask"], filled(5, 5, 10, 20))


NO_AREA: dict[str, dict[str, Any]] = {
    "a point": {"shape_type": "point", "points": [[5, 5]]},
    "a linestrip": {"shape_type": "linestrip", "points": CORNERS},
    "a kind of tomorrow": {"shape_type": "cuboid", "points": CORNERS},
    "a circle of no radius": {"shape_type": "circle", "points": [[5, 5], [5, 5]]},
    "a rectangle of one point": {"points": [[5, 5], [5, 5]]},
    "no label": {"label": None},
    "several labels": {"label": ["cup", "mug"]},
}


@pytest.mark.parametrize("kind", NO_AREA)
def test_a_labelme_shape_without_area_or_label_is_skipped_by_name(
    tmp_path: Path, kind: str
) -> None:
    good = shape("cup", 5, 5, 10, 20)
    labelme(tmp_path, "a", good, good | NO_AREA[kind])
    assert len(prepare(tmp_path)) == 1
    assert skipped(tmp_path / "out") == {"a.json shape 2": "malformed annotation"}


@pytest.mark.parametrize(
    "content",
    [
        {"imageWidth": float("inf")},
        {"imageWidth": None},
        {"imagePath": None},
        {"shapes": {"a": 1}},
        {"shapes": [[1, 2]]},
        {"shapes": [{"label": "cup", "points": [5, 5, 9, 9]}]},
    ],
)
def test_a_labelme_file_of_another_layout_is_skipped_by_name(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    for name in "ab":
        labelme(tmp_path, name, shape("cup", 5, 5, 10, 20))
    file = tmp_path / "b.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    assert len(prepare(tmp_path)) == 1
    assert skipped(tmp_path / "out") == {"b.json": "malformed annotation"}


def test_a_picture_that_lies_within_its_labelme_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        labelme(tmp_path, name, shape("cup", 5, 5, 10, 20))
    file = tmp_path / "b.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"imageData": "iVBOR"}))
    (tmp_path / "b.png").unlink()
    assert len(prepare(tmp_path)) == 1
    assert "only within the json" in capsys.readouterr().out


@pytest.mark.parametrize(("group", "objects"), [(None, 2), ("", 2), (0, 1), ("a", 1)])
def test_an_empty_group_of_labelme_is_none(tmp_path: Path, group: Any, objects: int) -> None:
    places = ((5, 5, 10, 20), (30, 8, 20, 12))
    labelme(tmp_path, "a", *(shape("cup", *place, group_id=group) for place in places))
    (row,) = prepare(tmp_path)
    assert len(parse_solution(row["solution"])) == objects


def pictures(folder: Path, count: int) -> Path:
    """Two questions about each of some pictures; the last two pictures are equal."""
    lines = []
    for k in range(count):
        save(noise(seed=min(k, count - 2)), folder / f"{k}.png")
        save(Image.fromarray(IDS), folder / "masks" / f"{k}.png")
        lines += [{"image": f"{k}.png", "text": text, "id": f"{k}-{text}"} for text in "ab"]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train=0.9,val=0.1", (18, 2)),
        ("train=0.5,val=0.3,test=0.2", (10, 6, 4)),
        ("train=0.99,val=0.01", (18, 2)),
    ],
)
def test_pictures_are_shared_out_whole(split: str, counts: tuple[int, ...], tmp_path: Path) -> None:
    source, out = pictures(tmp_path, 11), tmp_path / "out"
    assert run("folder", "--source", source, "--out", out, "--split", split, "--workers", 1) == 0
    names = [part.partition("=")[0] for part in split.split(",")]
    parts = [[row["id"].split("-")[0] for row in rows(out, name)] for name in names]
    # Two pictures are equal and count as one; both questions about one stay together.
    assert sum(map(len, parts)) == 22
    assert [len(part) - 2 * ("9" in part) for part in parts] == list(counts)
    assert sum(len(set(part)) for part in parts) == 11
    assert sum({"9", "10"} <= set(part) for part in parts) == 1


def test_the_same_pictures_are_shared_out_alike_again(tmp_path: Path) -> None:
    source = pictures(tmp_path, 6)
    shares = ("--split", "train=0.5,val=0.5", "--workers", 1)
    for out in ("one", "two"):
        assert run("folder", "--source", source, "--out", tmp_path / out, *shares) == 0
    one, two = ([row["id"] for row in rows(tmp_path / out, "val")] for out in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("folder", "train=0.9"), "add up to 1"),
        (("folder", "train=0.9,val=0.2"), "add up to 1"),
        (("folder", "train=1.1,val=-0.1"), "above 0"),
        (("folder", "train=most,val=0.1"), "must be a number"),
        (("folder", "train=0.5,train=0.5"), "names train twice"),
        (("folder", "a/b=0.5,val=0.5"), "letters, digits and _ only"),
        (("folder", "a=0.2,b=0.2,c=0.6"), "2 pictures can't be shared out to 3 splits"),
        (("reasonseg", "train=0.9,val=0.1"), "has splits of its own"),
    ],
)
def test_shares_that_can_not_be_are_one_clear_line(
    words: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, split = words
    source, out = pictures(tmp_path, 3), tmp_path / "out"
    assert run(dataset, "--source", source, "--out", out, "--split", split) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
