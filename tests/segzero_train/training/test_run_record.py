"""A run's folder tells the run: what it was made with, what it was asked, and its model's card."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, concatenate_datasets

from segzero.profiles import load_profile
from segzero_train.datasets.loading import load_rows
from segzero_train.training.model_card import model_card
from segzero_train.training.run_record import DataRecord, fingerprint

TRAINING = DataRecord("Ricky06662/ReasonSeg_val", "test", 9000, "0123456789abcdef")


@pytest.fixture(scope="module")
def entry(demo_run: Path) -> dict[str, Any]:
    (entry,) = json.loads((demo_run / "run.json").read_text())["starts"]
    return entry


def test_versions_commit_and_command_are_recorded(entry: dict[str, Any]) -> None:
    assert entry["versions"].keys() >= {"segzero", "torch", "trl", "transformers"}
    assert len(entry["commit"].removesuffix("-dirty")) == 40
    assert entry["command"].startswith("python -m")
    assert (entry["from_step"], entry["processes"], entry["device"]) == (0, 1, "cpu")


def test_data_are_recorded_with_their_fingerprint(entry: dict[str, Any], table: Path) -> None:
    training, held_out = entry["data"]
    assert (training["source"], training["rows"]) == (str(table), 4)
    assert training["fingerprint"] == fingerprint(load_rows(str(table), "train", 4))
    assert (held_out["split"], held_out["rows"]) == ("val", 4)


@pytest.mark.parametrize("change", ["order", "text", "picture", "fewer"])
def test_other_rows_have_another_fingerprint(change: str, table: Path) -> None:
    rows = load_rows(str(table), "train", 4)
    entries = rows.to_list()
    if change == "order":
        entries.reverse()
    elif change == "text":
        entries[2]["problem"] += "s"
    elif change == "picture":
        entries[1]["image"]["bytes"] += b" "
    else:
        entries.pop()
    assert fingerprint(Dataset.from_list(entries, features=rows.features)) != fingerprint(rows)
    again = concatenate_datasets([rows.select(range(2)), rows.select(range(2, 4))])
    assert fingerprint(again) == fingerprint(rows)


def test_greedy_answers_stand_with_question_and_truth(demo_run: Path, table: Path) -> None:
    asked = {row["id"]: row["problem"] for row in load_rows(str(table), "val", 4)}
    for file in sorted((demo_run / "greedy").iterdir()):
        questions = json.loads(file.read_text())["questions"]
        assert {item["id"]: item["question"] for item in questions} == asked
        assert all(json.loads(item["solution"]) is not None for item in questions)


@pytest.mark.parametrize("folder", [".", "best", "checkpoint-1", "checkpoint-2"])
def test_a_model_lies_with_its_card(folder: str, demo_run: Path) -> None:
    text = (demo_run / folder / "README.md").read_text()
    assert "Trained by GRPO" in text
    assert "prompt: vision_reasoner" in text


def test_a_card_names_data_prompt_coordinates_and_licences() -> None:
    text = model_card("GRPO", load_profile("seg-zero-7b"), [TRAINING])
    head = yaml.safe_load(text.split("---")[1])
    assert head["base_model"] == "Ricky06662/Seg-Zero-7B"
    assert head["license"] == "other"
    assert head["datasets"] == ["Ricky06662/ReasonSeg_val"]
    assert "Please find '{Question}' with bbox and points." in text
    assert "coordinates: absolute_pixels" in text and "image_size: 840" in text
    assert "| `Ricky06662/ReasonSeg_val` | cc-by-nc-4.0 |" in text
    assert "9000 | `0123456789abcdef` |" in text


def test_folders_of_this_disk_are_not_named_as_the_hubs() -> None:
    record = DataRecord("data/mine", "train", 9, "0")
    head = yaml.safe_load(model_card("GRPO", load_profile("demo"), [record]).split("---")[1])
    assert not head.keys() & {"datasets", "base_model", "license"}
