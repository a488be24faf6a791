"""Evaluation on datasets other than the tabletop."""

import json
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

from segzero.pipeline import SegZero
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.evaluation.scoring import Result, evaluate
from tests.segzero_train.evaluations import answers, run, scores


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(tabletop.samples("test", 6))


@pytest.fixture(scope="module")
def asked(samples: list[Sample]) -> list[Result]:
    return evaluate(SegZero.load("demo", "cpu"), samples)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return tabletop.rows("test", 6)


def stored(rows: Dataset, folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    rows.to_parquet(folder / "data" / "test-00000.parquet")
    return folder


@pytest.mark.slow
def test_rows_with_masks_are_asked_as_the_tabletop_is(
    rows: Dataset, asked: list[Result], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("--dataset", str(stored(rows, tmp_path / "rows")), "--out", str(out)) == 0
    for line, result in zip(answers(out), asked, strict=True):
        found = json.loads(line)
        for field in ("name", "category", "intersection", "union", "text"):
            assert found[field] == getattr(result, field)


@pytest.mark.slow
def test_a_damaged_row_is_named_and_ends_nothing(
    rows: Dataset, asked: list[Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(row: dict, number: int) -> dict:
        if number == 1:
            row["image"] = {"bytes": b"no picture", "path": None}
        if number == 2:
            row["problem"] = " "
        if number == 4:
            row["solution"] = "[1, 2]"
        return row

    undecoded = Dataset.from_list(tabletop.row_dicts("test", range(6)))
    damaged = undecoded.map(damage, with_indices=True).cast(rows.features)
    folder, out = stored(damaged, tmp_path / "rows"), tmp_path / "out"
    assert run("--dataset", str(folder), "--batch", "3", "--out", str(out)) == 0
    skipped = scores(out)["skipped"]
    assert [reason.split(":")[0] for reason in skipped] == ["number 1", "number 2", "number 4"]
    assert "row test-00001: the image can't be decoded" in skipped[0]
    assert "the question is empty" in skipped[1]
    assert "row test-00004: the solution can't be read" in skipped[2]
    assert scores(out)["n"] == 3
    printed = capsys.readouterr()
    assert "skipped: 3" in printed.out
    assert all(reason in printed.err for reason in skipped)
    texts = [json.loads(line)["text"] for line in answers(out)]
    assert texts == [asked[number].text for number in (0, 3, 5)]


def test_a_published_evaluation_set_stands_beside_the_published_figures(
    samples: list[Sample], tmp_path: Path
) -> None:
    published = [
        {
            "image": Image.fromarray(sample.image),
            "mask": sample.mask.astype(bool).tolist(),
            "text": sample.question,
            "image_id": sample.name,
            "ann_id": "0",
            "img_height": sample.image.shape[0],
            "img_width": sample.image.shape[1],
        }
        for sample in samples[:3]
    ]
    folder = stored(Dataset.from_list(published), tmp_path / "ReasonSeg_val")
    out = tmp_path / "out"
    assert run("--dataset", str(folder), "--out", str(out)) == 0
    figures = scores(out)["seg_zero"]["all"]
    assert figures["n"] == 3
    table = (out / "table.md").read_text()
    assert "| Seg-Zero-7B | published | 62.6 | 62.0 | 57.5 | 52.0 |" in table
    ours = [
        f"{100 * figures[key]:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        for key, (low, high) in ((key, figures[f"{key}_95"]) for key in ("giou", "ciou"))
    ]
    measured = "measured, seg_zero, n = 3, batch 1"
    assert f"| **demo** | {measured} | {ours[0]} | {ours[1]} |  |  |" in table


def test_a_dataset_without_masks_is_refused(
    rows: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(rows.remove_columns("mask"), tmp_path / "rows")
    assert run("--dataset", str(folder)) == 1
    assert "no column mask" in capsys.readouterr().err


def test_a_dataset_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dataset", "no/such/folder/at/all") == 1
    error = capsys.readouterr().err
    assert "no/such/folder/at/all" in error
    assert error.count("\n") == 1
