"""`prepare folder` on LabelMe's files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.datasets.folder_sources import labelme, prepare, shape
from tests.segzero_train.original_files import filled, skipped


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
