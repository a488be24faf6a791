from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segzero.profiles import load_profile
from segzero.reasoning.prompts import PROMPTS
from segzero_train.datasets.loading import load_rows
from segzero_train.training.completions_callback import Sampled, table
from segzero_train.training.preprocessing import ModelSpace, training_row


@pytest.fixture(scope="module")
def table_rows(table: Path) -> set[tuple[str, str]]:
    """Questions and true answers of the rows, as the table's lines begin."""
    profile = load_profile("demo")
    space = ModelSpace(profile.prompt, profile.completion_format, 256, (256, 256))
    rows = load_rows(str(table), "train")
    strip = PROMPTS[profile.prompt].strip
    return {
        (f"| {row['problem'].lower().strip(strip)}", training_row(row, space)["solution"])
        for row in rows
    }


def sampled(completion: str, advantage: float = 0.0, question: str = "the cup") -> Sampled:
    image = np.zeros((8, 8, 3), np.uint8)
    rewards = {"format": 1.0, "accuracy": 0.25}
    return Sampled(question, "[]", image, completion, rewards, advantage)


@pytest.mark.parametrize("step", [1, 2])
def test_a_table_has_every_completion_of_the_step(demo_run: Path, step: int) -> None:
    lines = (demo_run / "samples" / f"{step:06d}.md").read_text().splitlines()
    head, _, *rows = lines
    assert head == "| question | truth | completion | format | accuracy | non_repeat | advantage |"
    assert len(rows) == 8
    questions = [row.split(" | ")[0] for row in rows]
    assert len(set(questions[:4])) == len(set(questions[4:])) == 1
    assert questions[0] != questions[4]
    assert any("&lt;answer>" in row for row in rows)


def test_advantages_of_a_question_add_up_to_nothing(demo_run: Path) -> None:
    _, _, *rows = (demo_run / "samples" / "000001.md").read_text().splitlines()
    advantages = [float(row.rstrip(" |").split(" | ")[-1]) for row in rows]
    assert any(advantages)
    for group in (advantages[:4], advantages[4:]):
        assert sum(group) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("step", [1, 2])
def test_a_picture_shows_best_and_worst_of_both_questions(demo_run: Path, step: int) -> None:
    with Image.open(demo_run / "samples" / f"{step:06d}.png") as picture:
        assert picture.mode == "RGB"
        # Two images of 256 x 256 side by side, two questions, captions below each.
        assert picture.width >= 2 * 256
        assert picture.height > 2 * 256


def test_the_truth_of_a_question_is_that_of_its_row(
    demo_run: Path, table_rows: set[tuple[str, str]]
) -> None:
    _, _, *lines = (demo_run / "samples" / "000001.md").read_text().splitlines()
    assert {tuple(line.split(" | ")[:2]) for line in lines} <= table_rows


def test_true_boxes_are_drawn_white(demo_run: Path) -> None:
    picture = np.asarray(Image.open(demo_run / "samples" / "000001.png"))
    assert (picture[:256, :256] == 255).all(axis=2).sum() > 40


def test_pictures_go_to_tensorboard(demo_run: Path) -> None:
    (folder,) = {file.parent for file in demo_run.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder), {"images": 0}).Reload()
    assert [event.step for event in events.Images("samples")] == [1, 2]


@given(st.text(), st.text(min_size=1))
def test_whatever_is_written_stays_in_its_cell(completion: str, question: str) -> None:
    made = table([sampled(completion, question=question)])
    head, rule, *rows = made.splitlines()
    assert len(rows) == 1
    (row,) = rows
    assert row.replace("\\|", "").count("|") == head.count("|") == rule.count("|")
    assert "<" not in row


def test_numbers_are_short() -> None:
    made = table([sampled("text", 1 / 3)])
    assert made.splitlines()[-1] == "| the cup | [] | text | 1 | 0.25 | +0.33 |"
