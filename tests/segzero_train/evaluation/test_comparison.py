"""Two evaluations compared question by question."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.evaluation import comparison
from segzero_train.evaluation.comparison import CannotCompare, check_pairs, compare, other_run
from segzero_train.evaluation.scoring import Result, fingerprint
from segzero_train.evaluation.vqa import Answered
from tests.segzero_train.evaluations import run, scores

IDENTITY: dict[str, Any] = {
    "dataset": "/data/mine", "split": "test", "size": 4, "vqa": False, "ignored": None
}  # fmt: skip


def result(index: int, intersection: int, **fields: Any) -> Result:
    given: dict[str, Any] = {
        "question": f"thing {index}",
        "asked": f"f{index}",
        "batch": 1,
    } | fields
    return Result(index, f"row {index}", "1", intersection, 10, [[9, 10]], "", "text", [], **given)


OURS = [result(index, 5 + index) for index in range(4)]
THEIRS = [result(index, 6) for index in range(4)]


def stored(folder: Path, results: list[Any], **identity: Any) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(IDENTITY | identity))
    lines = [json.dumps(asdict(item)) for item in results]
    (folder / "results-0.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_the_difference_is_ours_minus_theirs_with_a_paired_interval() -> None:
    row = compare(OURS, THEIRS)["lisa"]["all"]
    assert row["giou"] == 0.05
    assert row["giou_95"][0] < 0.05 < row["giou_95"][1]
    assert (row["better"], row["worse"], row["n"]) == (2, 1, 4)
    told = comparison.lines(compare(OURS, THEIRS), "lisa", Path("base"))
    assert told[0] == "minus base, with paired intervals:"
    assert "gIoU +0.050" in told[-1]
    assert "better on 2 of 4, worse on 1" in told[-1]


def test_of_visual_questions_the_accuracy_is_compared() -> None:
    ours, theirs = (
        [Answered(index, "what", ["cat"], "cat", value) for index, value in enumerate(values)]
        for values in ((1.0, 1.0, 0.0), (0.0, 1.0, 0.0))
    )
    found = compare(ours, theirs)
    assert (found["accuracy"], found["better"], found["worse"]) == (0.3333, 1, 0)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ([replace(THEIRS[0], asked="x", question="the mug"), *THEIRS[1:]], "'the mug', here"),
        ([*THEIRS[:2], replace(THEIRS[2], asked="x"), THEIRS[3]], "another picture or ground"),
        ([replace(item, asked="", name="elsewhere") for item in THEIRS], "row elsewhere, here"),
        (THEIRS[:3], "1 questions were answered here only, such as number 3"),
        ([*THEIRS, result(4, 1)], "1 questions were answered there only, such as number 4"),
    ],
)
def test_answers_to_other_questions_are_refused_by_name(theirs: list, named: str) -> None:
    with pytest.raises(CannotCompare, match=named) as caught:
        check_pairs(OURS, theirs, Path("base"))
    assert "base" in str(caught.value)


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ({"size": 5}, r"size 5 there, 4 here"),
        ({"vqa": True}, r"vqa True there"),
        ({"ignored": "target"}, r"ignored target there"),
        ({"started": [], "size": []}, r"size"),
    ],
)
def test_an_evaluation_of_another_kind_is_refused_before_the_work(
    tmp_path: Path, identity: dict, named: str
) -> None:
    with pytest.raises(CannotCompare, match=named):
        other_run(stored(tmp_path / "base", THEIRS, **identity), IDENTITY, Result)


def test_what_is_no_evaluation_is_refused(tmp_path: Path) -> None:
    for text in ("", "[1]", '{"started": "training"}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(CannotCompare, match="holds no evaluation"):
            other_run(tmp_path, IDENTITY, Result)
    with pytest.raises(CannotCompare, match="holds no evaluation"):
        other_run(tmp_path / "nowhere", IDENTITY, Result)
    with pytest.raises(CannotCompare, match="has no answers yet"):
        other_run(stored(tmp_path / "begun", []), IDENTITY, Result)


def test_a_moved_dataset_is_the_same_one_but_not_for_older_folders(tmp_path: Path) -> None:
    moved = stored(tmp_path / "moved", THEIRS, dataset="/elsewhere")
    assert other_run(moved, IDENTITY, Result) == THEIRS
    older = [replace(item, asked="") for item in THEIRS]
    with pytest.raises(CannotCompare, match="dataset /elsewhere there"):
        other_run(stored(tmp_path / "older", older, dataset="/elsewhere"), IDENTITY, Result)


def test_a_fingerprint_tells_picture_question_and_truth() -> None:
    sample = next(tabletop.samples("test", 1))
    others: list[Sample] = [
        replace(sample, question="another"),
        replace(sample, image=sample.image[::-1]),
        replace(sample, masks=()),
        replace(sample, ignored=np.ones(sample.mask.shape, bool)),
    ]
    assert fingerprint(replace(sample, name="renamed")) == fingerprint(sample)
    assert len({fingerprint(item) for item in [sample, *others]}) == 5


@pytest.mark.slow
def test_the_command_compares_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    common = ("-n", "2", "--worst", "1")
    assert run(*common, "--out", str(first)) == 0
    shutil.copytree(first, second)
    json_file = tmp_path / "printed.json"
    compared = ("--out", str(second), "--against", str(first), "--json", str(json_file))
    assert run(*common, *compared) == 0
    assert f"minus {first}" in capsys.readouterr().out
    found = scores(second)["against"]
    assert found["run"] == str(first)
    assert found["lisa"]["all"] | {"n": 0} == {
        "n": 0, "giou": 0, "giou_95": [0, 0], "ciou": 0, "ciou_95": [0, 0], "better": 0, "worse": 0
    }  # fmt: skip
    assert json.loads(json_file.read_text())["against"] == found
    assert f"## Minus {first}" in (second / "table.md").read_text()
    assert run(*common, "--split", "val", "--out", str(other), "--against", str(first)) == 1
    assert "other questions: number 0 there is" in capsys.readouterr().err
    assert run(*common, "--out", str(first), "--against", str(first)) == 1
    assert "one folder" in capsys.readouterr().err
