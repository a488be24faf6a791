"""Evaluation sets by short names, later models beside ours, and licences where figures stand."""

from pathlib import Path
from typing import Any

import pytest

from segzero_train.evaluation.paper_tables import markdown
from segzero_train.evaluation.published import FIELD, licence_lines, locate

ROW = {"n": 2, "giou": 0.5, "giou_95": [0.4, 0.6], "ciou": 0.25, "ciou_95": [0.2, 0.3]}
FIGURES: dict[str, Any] = {
    "convention": "seg_zero",
    "malformed": 0,
    "malformed_95": [0.0, 0.0],
    "batches": [32],
    "categories": {},
    "all": ROW,
    "samples": {"majority of 8": ROW | {"giou": 0.55}},
    "segmenter": ROW,
}


@pytest.mark.parametrize(
    ("dataset", "split", "lies"),
    [
        ("reasonseg-r", "test", ("sj9909/ReasonSeg_refine", "test")),
        ("ReasonSeg-X", "val", ("sj9909/ReasonSegX_val", "test")),
        ("reasonseg-x", "test", ("sj9909/ReasonSegX_test", "test")),
        ("reasonseg-x", "train", ("reasonseg-x", "train")),
        ("data/reasonseg-x", "test", ("data/reasonseg-x", "test")),
        ("tabletop", "test", ("tabletop", "test")),
    ],
)
def test_a_short_name_means_a_set_on_the_hub(dataset: str, split: str, lies: tuple) -> None:
    assert locate(dataset, split) == lies


def test_a_folder_goes_before_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reasonseg-x").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("reasonseg-x", "test") == ("reasonseg-x", "test")


def test_later_models_stand_with_their_sources_beside_ours_on_reasonseg_test() -> None:
    described = {"profile": "mine", "dataset": "data/reasonseg", "split": "test"}
    table = markdown(described, [FIGURES])
    assert "| StAR-8B, majority vote over masks | 71.8 | StAR, arXiv 2603.14382 |" in table
    assert "| **mine** | 50.0 (40.0 to 60.0) | measured, seg_zero, batch 32 |" in table
    assert "| **mine**, majority of 8 | 55.0 (40.0 to 60.0) |" in table
    assert all("arXiv" in row.source for row in FIELD)
    for split, dataset in (("val", "data/reasonseg"), ("test", "reasonseg-r")):
        other = markdown(described | {"split": split, "dataset": dataset}, [FIGURES])
        assert "StAR-8B" not in other


@pytest.mark.parametrize(
    ("place", "weights", "told"),
    [
        (("ReasonSeg", "val"), (), ["ReasonSeg: CC-BY-NC-4.0"]),
        (("ReasonSeg", "test"), (), ["ReasonSeg: CC-BY-NC-4.0", "SAM 3, in the comparison"]),
        (("ReasonSeg-X", "test"), (), ["ReasonSeg-X: see its page"]),
        (("RefCOCOg", "test"), (), ["RefCOCOg: see refer's page"]),
        (
            None,
            ("Ricky06662/Seg-Zero-7B@main", "facebook/sam2-hiera-large"),
            ["`Ricky06662/Seg-Zero-7B`: other, a licence of its authors", "large`: apache-2.0"],
        ),
        (None, ("a-stranger/weights",), ["`a-stranger/weights`: see its page"]),
        (None, ("/data/exported/reasoner", "segzero_train/datasets"), []),
    ],
)
def test_licences_of_data_and_weights_are_told(place: Any, weights: tuple, told: list) -> None:
    lines = licence_lines(place, weights)
    assert len(lines) == len(told)
    assert all(part in line for part, line in zip(told, lines, strict=True))


def test_the_table_ends_with_the_licences() -> None:
    described = {
        "profile": "seg-zero-7b",
        "dataset": "data/refcocog",
        "split": "test",
        "weights": ["Ricky06662/Seg-Zero-7B"],
    }
    assert "## Licences\n\n- RefCOCOg: see refer's page" in markdown(described, [FIGURES])
