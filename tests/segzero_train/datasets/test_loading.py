"""Datasets by name: what is read, and what is said about what can't be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Sequence, Value
from PIL import Image as Picture

from segzero_train.datasets import shards
from segzero_train.datasets.columns import row_image, row_mask, row_to_sample
from segzero_train.datasets.loading import load_rows, load_split
from segzero_train.datasets.solutions import parse_solution
from segzero_train.errors import BadData
from tests.segzero_train.original_files import filled, noise, run, save

TRAINING = Features(
    dict.fromkeys(("id", "problem", "solution"), Value("string"))
    | {"image": Image(), "img_height": Value("int64"), "img_width": Value("int64")}
)
EVALUATION = Features(
    {"image": Image(), "mask": Sequence(Sequence(Value("bool")))}
    | dict.fromkeys(("text", "image_id", "ann_id"), Value("string"))
    | {"img_height": Value("int64"), "img_width": Value("int64")}
)
"""Those of the published sets."""
SOLUTION = "<box>(5,5),(14,24)</box><points>(9,9),(10,18)</points>"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def training(count: int = 3) -> Dataset:
    entries = [
        {"id": f"r-{k}", "problem": "it", "solution": SOLUTION, "image": noise(seed=k)}
        | {"img_height": 400, "img_width": 600}
        for k in range(count)
    ]
    return Dataset.from_list(entries, features=TRAINING)


def evaluation() -> Dataset:
    entry = {"image": noise(), "mask": filled(5, 5, 10, 20).tolist(), "text": "what is hot?"}
    ids = {"image_id": "7", "ann_id": "3", "img_height": 40, "img_width": 60}
    return Dataset.from_list([entry | ids], features=EVALUATION)


def parquet(rows: Dataset, folder: Path, name: str = "data/train-00000-of-00001.parquet") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / name)
    return str(folder)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder with the splits train (two rows) and testA (one)."""
    source, out = tmp_path / "source", tmp_path / "prepared"
    save(noise(), source / "a.png")
    save(Picture.fromarray(filled(5, 5, 10, 20).astype("u1")), source / "masks/a.png")
    lines = [{"image": "a.png", "text": f"thing {k}"} for k in range(2)]
    (source / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = ("folder", "--source", source, "--out", out, "--size", "original")
    assert run(*command, "--workers", 1) == 0
    assert run(*command, "--workers", 1, "--split", "testA", "--limit", 1) == 0
    return out


def test_a_prepared_folder_is_read_by_split(prepared: Path) -> None:
    assert load_rows(str(prepared), "train")["problem"] == ["thing 0", "thing 1"]
    (row,) = load_rows(str(prepared), "testA")
    sample = row_to_sample(row)
    assert np.array_equal(sample.image, np.asarray(noise()))
    assert np.array_equal(sample.mask, filled(5, 5, 10, 20))


def test_the_datasets_library_alone_reads_it_too(prepared: Path) -> None:
    found = datasets.load_dataset(str(prepared))
    assert {str(name): len(rows) for name, rows in found.items()} == {"train": 2, "testA": 1}
    assert np.array_equal(np.asarray(found["train"][0]["image"]), np.asarray(noise()))


def test_a_shard_of_which_all_was_skipped_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 1)
    save(noise(), tmp_path / "a.png")
    save(Picture.fromarray(filled(5, 5, 10, 20).astype("u1")), tmp_path / "masks/a.png")
    lines = [{"image": name, "text": name} for name in ("none.png", "a.png")]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    assert run("folder", "--source", tmp_path, "--out", out, "--workers", 1) == 0
    assert load_rows(str(out), "train")["problem"] == ["a.png"]


def test_an_unfinished_split_is_refused(prepared: Path) -> None:
    report = json.loads((prepared / "report.json").read_text())
    report["train"]["finished"] = False
    (prepared / "report.json").write_text(json.dumps(report))
    with pytest.raises(BadData, match="'train' isn't finished"):
        load_rows(str(prepared), "train")


@pytest.mark.parametrize("kind", ["parquet", "dict", "alone"])
def test_the_published_training_columns_are_read_from_every_kind_of_folder(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "set"
    if kind == "parquet":
        parquet(training(), folder)
    elif kind == "dict":
        DatasetDict(train=training()).save_to_disk(folder)
    else:
        training().save_to_disk(folder)
    rows = load_rows(str(folder), "train")
    assert rows["id"] == ["r-0", "r-1", "r-2"]
    assert np.array_equal(row_image(rows[1]), np.asarray(noise(seed=1)))
    assert parse_solution(rows[0]["solution"])[0].box.x2 == 14


def test_the_published_evaluation_columns_are_read(tmp_path: Path) -> None:
    folder = parquet(evaluation(), tmp_path / "set", "data/test-00000-of-00001.parquet")
    (row,) = load_rows(folder, "test")
    assert np.array_equal(row_mask(row), filled(5, 5, 10, 20))
    assert row_to_sample(row).question == "what is hot?"


def test_the_first_rows_are_enough(tmp_path: Path) -> None:
    folder = parquet(training(), tmp_path / "set")
    assert load_rows(folder, "train", 2)["id"] == ["r-0", "r-1"]
    assert len(load_rows(folder, "train", 9)) == 3


def test_the_two_names_of_the_validation_split_are_one(tmp_path: Path) -> None:
    folder = parquet(training(), tmp_path / "set", "data/val-00000-of-00001.parquet")
    assert len(load_rows(folder, "val")) == len(load_rows(folder, "validation")) == 3


def test_a_corrupt_picture_is_named_when_it_is_looked_at(tmp_path: Path) -> None:
    rows = training().cast_column("image", Image(decode=False)).to_list()
    rows[1]["image"]["bytes"] = rows[1]["image"]["bytes"][:500]
    broken = Dataset.from_list(rows, features=TRAINING)
    found = load_rows(parquet(broken, tmp_path / "set"), "train")
    assert [row["id"] for row in found] == ["r-0", "r-1", "r-2"]
    row_image(found[0])
    with pytest.raises(BadData, match="row r-1: the image can't be decoded"):
        row_image(found[1])


def test_the_tabletop_is_drawn(tmp_path: Path) -> None:
    rows = load_rows("tabletop", "val", 2)
    assert rows["id"] == ["val-00000", "val-00001"]
    assert row_image(rows[0]).shape == (240, 320, 3)


def unreadable(folder: Path) -> str:
    path = parquet(training(), folder)
    (folder / "data/train-00000-of-00001.parquet").write_bytes(b"PAR1 junk PAR1")
    return path


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("folder", {"split": "test"}, r"no split 'test'; it has train"),
    ("folder", {"size": 0}, "1 row or more"),
    ("none", {}, r"there is no folder .*none"),
    ("file", {}, "is a file"),
    ("empty", {}, "can't be read"),
    ("unreadable", {}, "can't be read"),
    ("rowless", {}, "has no rows"),
    ("columns", {}, r"has the columns id, picture: it lacks image, problem, solution to train on"),
    ("report", {}, "isn't a report of prepare"),
]


@pytest.mark.parametrize(("kind", "options", "message"), CASES)
def test_what_can_not_be_loaded_is_one_clear_line(
    tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    folder = tmp_path / kind
    if kind == "folder":
        parquet(training(), folder)
    elif kind == "file":
        folder.write_text("")
    elif kind == "empty":
        folder.mkdir()
    elif kind == "unreadable":
        unreadable(folder)
    elif kind == "rowless":
        training(1).select([]).save_to_disk(folder)
    elif kind == "columns":
        parquet(Dataset.from_dict({"id": ["1"], "picture": ["x"]}), folder)
    elif kind == "report":
        folder.mkdir()
        (folder / "report.json").write_text("[]")
    with pytest.raises(BadData, match=message) as caught:
        load_rows(str(folder), **({"split": "train"} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("split", "size", "message"), [("test", None, "say how many"), ("dev", 3, "unknown split")]
)
def test_the_tabletop_needs_a_split_and_a_size(split: str, size: int | None, message: str) -> None:
    with pytest.raises(BadData, match=message):
        load_rows("tabletop", split, size)


def test_other_columns_are_loaded_without_the_check(tmp_path: Path) -> None:
    folder = parquet(Dataset.from_dict({"question": ["why?"], "answers": [["so"]]}), tmp_path / "a")
    assert load_split(folder, "train")[0]["answers"] == ["so"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("data/reasonseg", "prepare reasonseg --source ReasonSeg --split val --out data/reasonseg"),
        ("./refcocog", "prepare refcocog --source refer/refcocog --images train2014 --split val"),
        ("here/mine", "prepare folder --source MY_PICTURES --split val --out here/mine"),
        ("~/absent/x", "--out ~/absent/x"),
        (r"sets\mine", r"--out sets\mine"),
        ("owner/rows.parquet", "--out owner/rows.parquet"),
    ],
)
def test_what_looks_like_a_path_is_never_looked_up_on_the_hub(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(BadData) as caught:
        load_rows(name, "val")
    assert command in str(caught.value)


def test_a_published_name_without_a_network_says_how_to_get_it() -> None:
    script = (
        "from segzero_train.datasets.loading import load_rows\n"
        "from segzero_train.errors import BadData\n"
        "try:\n"
        "    load_rows('Ricky06662/ReasonSeg_test', 'test')\n"
        "except BadData as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hf download --repo-type dataset Ricky06662/ReasonSeg_test" in done.stdout
