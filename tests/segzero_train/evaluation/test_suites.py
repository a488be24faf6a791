"""Several datasets in one command."""

import json
from pathlib import Path

import pytest

from segzero_train.datasets import tabletop
from tests.segzero_train.evaluations import run, scores

PLACES = (("reasonseg", "val"), ("reasonseg", "test"), ("refcocog", "test"))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the paper's sets lie, one question each."""
    for name, split in PLACES:
        (tmp_path / "data" / name / "data").mkdir(parents=True, exist_ok=True)
        file = tmp_path / "data" / name / "data" / f"{split}-00000.parquet"
        tabletop.rows("test", 1).to_parquet(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_papers_sets_are_evaluated_in_one_command(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("--suite", "paper", "--worst", "1", "--out", "first", "--json", "printed.json")
    assert run(*command) == 0
    names = [f"{name}-{split}" for name, split in PLACES]
    printed = json.loads((prepared / "printed.json").read_text())
    assert list(printed) == names
    for name in names:
        found = scores(prepared / "first" / name)
        assert found["ignored"] == "target"
        assert found["lisa"]["all"]["giou"] == printed[name]["all"]["giou"]
    assert "Beside table 7" in (prepared / "first" / "refcocog-test" / "table.md").read_text()
    out = capsys.readouterr().out
    assert "data/refcocog, split test:" in out
    assert run(*command[:-2], "--out", "second", "--against", "first") == 0
    assert capsys.readouterr().out.count("minus first/") == 3


def test_a_set_that_is_missing_is_told_before_the_first_question(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepared / "data" / "refcocog").rename(prepared / "elsewhere")
    assert run("--suite", "paper", "--out", "out") == 1
    error = capsys.readouterr().err
    assert "no folder data/refcocog" in error
    assert "segzero_train.prepare refcocog" in error
    assert not list(prepared.glob("out/*/results-*"))
