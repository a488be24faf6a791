"""What is read from rows and files that an older version wrote."""

import json
from pathlib import Path

import pytest
from PIL import Image

from segzero_train.datasets.columns import row_category, with_category
from tests.segzero_train.original_files import filled, noise, rows, run, save


@pytest.mark.parametrize(
    ("entry", "category"),
    [
        ({"category": "2"}, "2"),
        ({"tier": "2"}, "2"),
        ({"tier": 2}, "2"),
        ({"tier": "1", "category": "2"}, "2"),
        ({"category": None}, None),
        ({}, None),
    ],
)
def test_a_category_is_read_by_its_older_name_too(entry: dict, category: str | None) -> None:
    assert row_category(entry) == category
    assert "tier" not in with_category(entry)


def test_a_questions_file_may_call_it_tier(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    save(Image.fromarray(filled(5, 5, 10, 20).astype("u1")), tmp_path / "masks/a.png")
    line = json.dumps({"image": "a.png", "text": "it", "tier": "hard"})
    (tmp_path / "questions.jsonl").write_text(line)
    assert run("folder", "--source", tmp_path, "--out", tmp_path / "out", "--workers", 1) == 0
    assert [row["category"] for row in rows(tmp_path / "out")] == ["hard"]
