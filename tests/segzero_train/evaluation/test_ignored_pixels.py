"""Pixels that are marked 255: not counted, or part of the answer as in the authors' evaluation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from segzero.metrics import overlap
from segzero_train.datasets import tabletop
from segzero_train.datasets.masks import mask_png
from segzero_train.evaluation.sources import IGNORED, Ignored, rows_source
from tests.segzero_train.evaluations import answers, run, scores

SPLIT = "test"


def rows(ignored: int) -> Dataset:
    """Two questions; around each object a strip of pixels is marked 255."""
    listed = tabletop.row_dicts(SPLIT, range(2))
    for row, sample in zip(listed, tabletop.samples(SPLIT, 2), strict=True):
        ids = sample.mask.copy()
        ids[:ignored] = np.where(ids[:ignored] == 0, 255, ids[:ignored])
        row["mask"] = {"bytes": mask_png(ids), "path": None}
    return Dataset.from_list(listed, features=tabletop.features())


def stored(folder: Path, ignored: int = 20) -> Path:
    (folder / "data").mkdir(parents=True)
    rows(ignored).to_parquet(folder / "data" / f"{SPLIT}-00000.parquet")
    return folder


@pytest.mark.parametrize("ignored", IGNORED)
@pytest.mark.parametrize("strip", [0, 1, 20])
def test_the_ground_truth_is_the_one_that_was_chosen(ignored: Ignored, strip: int) -> None:
    from segzero_train.datasets.loading import undecoded

    source = rows_source(undecoded(rows(strip)), ignored)
    plain_samples = tabletop.samples(SPLIT, 2)
    for loaded, plain in zip(source.load(range(2)), plain_samples, strict=True):
        assert isinstance(loaded, tuple)
        sample = loaded[1]
        target = plain.mask > 0
        perfect = overlap(target, sample.mask)
        if ignored == "excluded" or strip == 0:
            assert perfect.iou == 1
        else:  # what the authors' `mask.astype(bool)` makes of it
            marked = target.copy()
            marked[:strip] = True
            assert np.array_equal(sample.mask, marked)
            assert perfect.iou == target.sum() / marked.sum()


@pytest.mark.slow
def test_the_table_says_which_and_published_rows_stand_beside_the_authors_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(tmp_path / "ReasonSeg_val")
    tables, found = {}, {}
    for ignored in IGNORED:
        out = tmp_path / ignored
        assert run("--dataset", str(folder), "--ignored", ignored, "--out", str(out)) == 0
        tables[ignored] = (out / "table.md").read_text()
        found[ignored] = scores(out)
        assert found[ignored]["ignored"] == ignored
    printed = capsys.readouterr().out
    assert printed.count("ignored pixels not counted") == 1
    assert "ignored pixels are not counted" in tables["excluded"]
    assert "published |" not in tables["excluded"]
    assert "--ignored target" in tables["excluded"]
    assert "as in the authors' evaluation" in tables["target"]
    assert "| Seg-Zero-7B | published | 62.6 |" in tables["target"]
    assert found["excluded"]["lisa"]["all"]["giou"] > found["target"]["lisa"]["all"]["giou"]


def test_without_ignored_pixels_both_are_the_authors(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("--dataset", str(stored(tmp_path / "ReasonSeg_val", 0)), "--out", str(out)) == 0
    assert "| Seg-Zero-7B | published | 62.6 |" in (out / "table.md").read_text()


@pytest.mark.slow
def test_answers_of_one_choice_are_not_mixed_with_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = stored(tmp_path / "rows"), tmp_path / "out"
    assert run("--dataset", str(folder), "--out", str(out)) == 0
    before = answers(out)
    assert run("--dataset", str(folder), "--out", str(out), "--ignored", "target") == 1
    assert "other options (ignored)" in capsys.readouterr().err
    assert answers(out) == before
    file = out / "run.json"
    identity: dict[str, Any] = json.loads(file.read_text())
    assert identity.pop("ignored") is None
    file.write_text(json.dumps(identity))  # as an older version wrote it
    assert run("--dataset", str(folder), "--out", str(out)) == 0


def test_a_sample_counts_every_pixel_as_target_or_not_at_all() -> None:
    sample = next(tabletop.samples(SPLIT, 1))
    everywhere = replace(sample, ignored=np.ones(sample.mask.shape, bool))
    assert (everywhere.mask == 255).all()
    assert (replace(everywhere, ignored_is_target=True).mask == 1).all()
