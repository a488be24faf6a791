"""`prepare reasonseg` on small files in the original format."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segzero_train.datasets.solutions import parse_solution
from tests.segzero_train.original_files import filled, noise, rows, run, save, skipped

Shape = tuple[str, int, int, int, int]


def write(
    folder: Path, name: str, drawn: list[Shape], encoding: str = "utf-8", **other: Any
) -> None:
    """A picture and its json; a shape's polygon covers x … x+width, y … y+height."""
    save(noise(), folder / f"{name}.jpg")
    content = {
        "text": ["what is hot?", "the second text"],
        "is_sentence": True,
        "shapes": [
            {"label": label, "points": [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]}
            for label, x, y, w, h in drawn
        ],
    } | other
    text = json.dumps(content, ensure_ascii=False)
    (folder / f"{name}.json").write_bytes(text.encode(encoding))


def prepare(source: Path, out: Path, split: str = "val") -> list[dict[str, Any]]:
    assert run("reasonseg", "--source", source, "--out", out, "--split", split) == 0
    return rows(out, split)


def test_each_target_is_an_object_and_ignored_pixels_are_255(tmp_path: Path) -> None:
    write(tmp_path / "val", "a", [("target", 5, 5, 9, 9), ("ignore", 20, 5, 9, 9)])
    (row,) = prepare(tmp_path, tmp_path / "out")
    expected = np.where(filled(5, 5, 10, 10), 1, np.where(filled(20, 5, 10, 10), 255, 0))
    assert np.array_equal(row["mask"], expected)
    (placed,) = parse_solution(row["solution"])
    assert (placed.box.x1, placed.box.y1, placed.box.x2, placed.box.y2) == (5, 5, 14, 14)


@pytest.mark.parametrize("turned", [False, True])
def test_the_largest_is_drawn_first(tmp_path: Path, turned: bool) -> None:
    shapes = [("ignore", 10, 10, 4, 4), ("target", 5, 5, 30, 30), ("Target", 20, 20, 5, 5)]
    write(tmp_path / "val", "a", shapes[::-1] if turned else shapes)
    (row,) = prepare(tmp_path, tmp_path / "out")
    assert row["mask"][12, 12] == 255
    assert row["mask"][8, 8] == 1
    assert row["mask"][22, 22] == 2
    assert len(parse_solution(row["solution"])) == 2


def test_flags_are_not_drawn(tmp_path: Path) -> None:
    write(tmp_path / "val", "a", [("flag", 0, 0, 50, 30), ("target", 5, 5, 9, 9)])
    (row,) = prepare(tmp_path, tmp_path / "out")
    assert np.array_equal(row["mask"], filled(5, 5, 10, 10))


def test_evaluation_asks_the_first_text_and_training_each(tmp_path: Path) -> None:
    for split in ("val", "train"):
        write(tmp_path / "ReasonSeg" / split, "a", [("target", 5, 5, 9, 9)])
    (first,) = prepare(tmp_path, tmp_path / "out")
    assert (first["id"], first["problem"]) == ("a", "what is hot?")
    each = prepare(tmp_path, tmp_path / "out", "train")
    assert [row["problem"] for row in each] == ["what is hot?", "the second text"]
    assert each[0]["image"].shape == (840, 840, 3)


def test_sentences_and_phrases_are_scored_apart(tmp_path: Path) -> None:
    write(tmp_path / "val", "a", [("target", 5, 5, 9, 9)])
    write(tmp_path / "val", "b", [("target", 5, 5, 9, 9)], is_sentence=False)
    assert [row["category"] for row in prepare(tmp_path, tmp_path / "out")] == [
        "long query",
        "short query",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_texts_are_read_in_the_codes_that_occur(tmp_path: Path, encoding: str) -> None:
    text = "the café’s door"
    write(tmp_path / "val", "a", [("target", 5, 5, 9, 9)], encoding, text=[text])
    (row,) = prepare(tmp_path, tmp_path / "out")
    assert row["problem"] == text


def test_what_can_not_be_used_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    good: list[Shape] = [("target", 5, 5, 9, 9)]
    write(folder, "good", good)
    write(folder, "flags", [("flag", 5, 5, 9, 9)])
    write(folder, "hidden", [("target", 5, 5, 9, 9), ("ignore", 5, 5, 9, 9)])
    write(folder, "outside", [("target", 500, 5, 9, 9)])
    write(folder, "infinite", [("target", 10**9, 5, 9, 9)])
    write(folder, "silent", good, text=[])
    write(folder, "blank", good, text=[" "])
    write(folder, "shapeless", good, shapes=[{"label": "target"}])
    write(folder, "gone", good)
    (folder / "gone.jpg").unlink()
    (folder / "cut.json").write_text('{"text": ["a')
    (folder / "list.json").write_text("[]")
    (folder / "odd.json").write_bytes(b'{"text": ["\x81\x8d"]}')
    save(noise(), folder / "alone.jpg")
    out = tmp_path / "out"
    assert [row["id"] for row in prepare(tmp_path, out)] == ["good"]
    assert {Path(name).name: reason for name, reason in skipped(out, "val").items()} == {
        "flags": "empty mask",
        "hidden": "empty mask",
        "outside": "empty mask",
        "infinite": "malformed annotation",
        "silent.json": "unusable text",
        "blank": "unusable text",
        "shapeless.json": "malformed annotation",
        "gone": "missing image",
        "cut.json": "unreadable json",
        "list.json": "unreadable json",
        "odd.json": "unreadable json",
        "alone.jpg": "missing annotation",
    }


def png_of(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:40, :60]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
AREAS: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "a rectangle": (
        {"shape_type": "rectangle", "points": [[10, 10], [40, 35]]},
        filled(10, 10, 31, 26),
    ),
    "a rectangle drawn upwards": (
        {"shape_type": "rectangle", "points": [[40, 35], [10, 10]]},
        filled(10, 10, 31, 26),
    ),
    "a rectangle of four corners": (
        {"shape_type": "rectangle", "points": SQUARE},
        filled(10, 10, 21, 21),
    ),
    "a circle": ({"shape_type": "circle", "points": [[30, 20], [36, 28]]}, disc(30, 20, 10)),
    "a circle over the border": (
        {"shape_type": "circle", "points": [[0, 0], [12, 0]]},
        disc(0, 0, 12),
    ),
    "a polygon": ({"shape_type": "polygon", "points": SQUARE}, filled(10, 10, 21, 21)),
    "a shape without a type": ({"points": SQUARE}, filled(10, 10, 21, 21)),
    "a type of null": ({"shape_type": None, "points": SQUARE}, filled(10, 10, 21, 21)),
    "a mask": (
        {
            "shape_type": "mask",
            "points": [[5, 8], [24, 17]],
            "mask": png_of(filled(2, 3, 9, 5, (20, 10))),
        },
        filled(7, 11, 9, 5),
    ),
    "a mask over the border": (
        {
            "shape_type": "mask",
            "points": [[50, 30], [69, 44]],
            "mask": png_of(np.full((15, 20), 255)),
        },
        filled(50, 30, 10, 10),
    ),
}


@pytest.mark.parametrize("kind", AREAS)
def test_a_shape_covers_what_labelme_shows(tmp_path: Path, kind: str) -> None:
    shape, expected = AREAS[kind]
    write(tmp_path / "val", "a", [], shapes=[{"label": "target"} | shape])
    (row,) = prepare(tmp_path, tmp_path / "out")
    assert np.array_equal(row["mask"], expected)


EMPTY: dict[str, dict[str, Any]] = {
    "a polygon of a point": {"points": [[10, 10]]},
    "a polygon of two points": {"shape_type": "polygon", "points": [[10, 10], [40, 40]]},
    "a polygon of nothing": {"points": []},
    "a rectangle of a point": {"shape_type": "rectangle", "points": [[10, 10]]},
    "a line": {"shape_type": "line", "points": [[10, 10], [40, 30]]},
    "a point": {"shape_type": "point", "points": [[10, 10]]},
    "a linestrip": {"shape_type": "linestrip", "points": SQUARE},
    "an unknown type": {"shape_type": "spline", "points": SQUARE},
}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_shape_without_an_area_is_skipped_by_name(tmp_path: Path, kind: str) -> None:
    good, empty = {"label": "target", "points": SQUARE}, {"label": "target"} | EMPTY[kind]
    write(tmp_path / "val", "a", [], shapes=[empty, good])
    write(tmp_path / "val", "b", [], shapes=[empty])
    (row,) = prepare(tmp_path, tmp_path / "out")
    assert row["id"] == "a"
    assert np.array_equal(row["mask"], filled(10, 10, 21, 21))
    names = skipped(tmp_path / "out", "val")
    assert {Path(name).name: reason for name, reason in names.items()} == {
        "a.json shape 1": "malformed annotation",
        "b.json": "malformed annotation",
    }


@pytest.mark.parametrize(
    "mask", [None, "no base64!", png_of(np.ones((3, 3))), base64.b64encode(b"no picture").decode()]
)
def test_a_mask_that_can_not_be_read_is_skipped_by_name(tmp_path: Path, mask: str | None) -> None:
    shape = {"label": "target", "shape_type": "mask", "points": [[0, 0], [4, 4]], "mask": mask}
    write(tmp_path / "val", "a", [("target", 5, 5, 9, 9)])
    write(tmp_path / "val", "b", [], shapes=[shape])
    assert [row["id"] for row in prepare(tmp_path, tmp_path / "out")] == ["a"]
    (name,) = skipped(tmp_path / "out", "val")
    assert Path(name).name in ("b", "b.json")


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("text", ["the mug on the left", ["the mug on the left"]])
def test_a_text_alone_is_one_question(tmp_path: Path, split: str, text: Any) -> None:
    write(tmp_path / split, "a", [("target", 5, 5, 9, 9)], text=text)
    assert [row["problem"] for row in prepare(tmp_path, tmp_path / "out", split)] == [
        "the mug on the left"
    ]


@pytest.mark.parametrize(
    "other",
    [{"text": 3}, {"text": None}, {"text": ["a", None]}, {"text": {"a": 1}}, {"is_sentence": "no"}],
)
def test_a_text_that_is_none_is_skipped_by_name(tmp_path: Path, other: dict[str, Any]) -> None:
    write(tmp_path / "val", "a", [("target", 5, 5, 9, 9)])
    write(tmp_path / "val", "b", [("target", 5, 5, 9, 9)], **other)
    assert [row["id"] for row in prepare(tmp_path, tmp_path / "out")] == ["a"]
    assert list(skipped(tmp_path / "out", "val").values()) == ["malformed annotation"]


def test_a_split_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("reasonseg", "--source", tmp_path, "--out", tmp_path / "out") == 1
    assert "no ReasonSeg split 'train'" in capsys.readouterr().err


def test_nothing_usable_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train", "a", [("flag", 5, 5, 9, 9)])
    assert run("reasonseg", "--source", tmp_path, "--out", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "skipped 2: empty mask" in captured.out
    assert "nothing of it can be used" in captured.err
