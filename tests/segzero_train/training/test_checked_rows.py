"""Rows that were checked once are known by their content at the next start."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, Features, Image, Value
from transformers import AutoProcessor

from segzero.profiles import load_profile
from segzero_train.errors import BadData
from segzero_train.training import checked_rows, preprocessing
from segzero_train.training.preprocessing import ModelSpace, model_space, training_rows
from tests.segzero_train.original_files import noise, save

Start = Callable[..., list[str]]


@pytest.fixture(scope="module")
def loaded(qwen3_vl: Path) -> tuple[ModelSpace, Any]:
    profile = load_profile(qwen3_vl)
    processor = AutoProcessor.from_pretrained(profile.reasoner, padding_side="left")
    return model_space(profile, processor), processor


@pytest.fixture
def start(loaded: tuple[ModelSpace, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Make rows ready for training; returns the names of those that were checked for it."""
    checked: list[str] = []
    plain = preprocessing.training_row

    def counted(row: dict[str, Any], space: ModelSpace) -> dict[str, Any]:
        checked.append(row["id"])
        return plain(row, space)

    monkeypatch.setattr(preprocessing, "training_row", counted)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(checked_rows, "WORTH", 2)

    def begin(rows: Dataset, **changes: Any) -> list[str]:
        space, processor = loaded
        checked.clear()
        made = training_rows(rows, replace(space, **changes), processor, 5000)
        assert len(made) == len(rows)
        return sorted(checked)

    return begin


def rows(folder: Path, *, embedded: bool = True, **changes: Any) -> Dataset:
    """Two rows; the second one has the changes."""
    listed = []
    for number in range(2):
        seed = changes.get("seed", number) if number else 0
        data = save(noise(seed=seed), folder / f"{number}.png")
        row: dict[str, Any] = {
            "id": str(number),
            "problem": "it",
            "solution": SOLUTION,
            "image": data,
        }
        row |= {k: v for k, v in changes.items() if number and k != "seed"}
        path = None if embedded else str(folder / f"{number}.png")
        row["image"] = {"bytes": data if embedded else None, "path": path}
        listed.append(row)
    texts = {key: Value("string") for key in ("id", "problem", "solution")}
    return Dataset.from_list(listed, Features({**texts, "image": Image()}))


SOLUTION = json.dumps([{"bbox_2d": [10, 8, 40, 30], "point_2d": [20, 20]}])
OTHER = json.dumps([{"bbox_2d": [10, 8, 41, 30], "point_2d": [20, 20]}])


def test_the_same_rows_are_checked_once(start: Start, tmp_path: Path) -> None:
    assert start(rows(tmp_path)) == ["0", "1"]
    assert start(rows(tmp_path)) == []


@pytest.mark.parametrize(
    "change",
    [{"seed": 5}, {"problem": "the other"}, {"solution": OTHER}, {"id": "2"}],
    ids=["picture", "question", "solution", "name"],
)
def test_a_row_that_changed_is_checked_again(
    change: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    start(rows(tmp_path))
    assert len(start(rows(tmp_path, **change))) == 2


@pytest.mark.parametrize("change", [{"prompt": "seg_zero_no_thinking"}, {"side": 140}])
def test_another_model_space_is_checked_again(
    change: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    start(rows(tmp_path))
    assert len(start(rows(tmp_path), **change)) == 2


def test_another_version_of_the_code_checks_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(rows(tmp_path))
    monkeypatch.setattr(checked_rows, "_code", lambda: "newer")
    assert len(start(rows(tmp_path))) == 2


def test_bad_rows_are_found_at_each_start(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BadData, match="1 of 2 rows can't be used"):
            start(rows(tmp_path, solution="nonsense"))


def test_pictures_in_files_of_their_own_may_change(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        assert len(start(rows(tmp_path, embedded=False))) == 2


@pytest.mark.parametrize("damage", ["", "{", "[1, null]", "[1]"])
def test_a_damaged_result_is_made_again(damage: str, start: Start, tmp_path: Path) -> None:
    start(rows(tmp_path))
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(damage)
    assert len(start(rows(tmp_path))) == 2
    assert start(rows(tmp_path)) == []


def test_few_rows_are_not_worth_a_file(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_rows, "WORTH", 3)
    start(rows(tmp_path))
    assert not list((tmp_path / "cache").rglob("*.json"))
