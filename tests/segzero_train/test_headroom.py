"""The gate before GRPO: what a recipe's samples have that its greedy answers have not."""

import json
from pathlib import Path

import pytest

from segzero.metrics import Overlap
from segzero_train import headroom
from segzero_train.training.eval_scores import Scored
from tests.segzero_train.tiny_runs import words


def scored(question: int, iou: float, category: str = "1", **rewards: float) -> Scored:
    overlap = Overlap(round(100 * iou), 100)
    return Scored(str(question), category, "", "[]", "", overlap, sum(rewards.values()), rewards)


def samples(format_: tuple[float, float], accuracy: tuple[float, float]) -> list[Scored]:
    """Two samples of each of four questions; the second one finds something."""
    return [
        scored(question, iou, format=format_[k], accuracy=accuracy[k])
        for question in range(4)
        for k, iou in enumerate((0.0, 0.9))
    ]


GREEDY_FAILS = [scored(question, 0.0, format=1, accuracy=0) for question in range(4)]
GREEDY_FINDS = [scored(question, 0.9, format=1, accuracy=3) for question in range(4)]


@pytest.mark.parametrize(
    ("greedy", "sampled", "says"),
    [
        (GREEDY_FAILS, samples((1, 1), (0, 3)), "follow that reward"),
        (GREEDY_FAILS, samples((0, 3), (0, 1)), "first learn the form"),
        (GREEDY_FINDS, samples((1, 1), (0, 3)), "finds no more than the greedy answer"),
        (GREEDY_FAILS, samples((1, 1), (2, 2)), "learns nothing from"),
    ],
)
def test_the_verdict_names_what_stands_in_the_way(
    greedy: list[Scored], sampled: list[Scored], says: str
) -> None:
    assert says in headroom.headroom(greedy, sampled)["verdict"]


def test_the_figures_are_those_of_the_answers() -> None:
    found = headroom.headroom(GREEDY_FAILS, samples((1, 1), (0, 3)))
    assert (found["questions"], found["samples"]) == (4, 2)
    giou = {key: found["giou"][key] for key in ("greedy", "sample_mean", "best")}
    assert giou == {"greedy": 0.0, "sample_mean": 0.45, "best": 0.9}
    assert found["giou"]["above_greedy"] == {"value": 0.9, "low": 0.9, "high": 0.9}
    assert found["reward"]["best"] == 4.0
    assert found["variance_by_reward"] == {"format": 0.0, "accuracy": 1.0}
    assert found["zero_variance"] == 0.0


def test_each_category_has_a_row_of_its_own() -> None:
    greedy = [scored(0, 0.0, "1", accuracy=0), scored(1, 0.5, "2", accuracy=1)]
    sampled = [scored(q, iou, str(q + 1), accuracy=iou) for q in (0, 1) for iou in (0.0, 1.0)]
    found = headroom.headroom(greedy, sampled)
    assert found["by_category"]["1"]["giou"]["above_greedy"]["value"] == 1.0
    assert found["by_category"]["2"]["giou"]["above_greedy"]["value"] == 0.5
    text = headroom.describe(found)
    assert "| category 2 | 1 | 0.5 | 0.5 | 1 |" in text
    assert text.endswith(found["verdict"])


@pytest.mark.slow
def test_the_command_measures_a_recipe_and_leaves_no_run(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = words("demo", table, tmp_path / "run", held_out_size=3, held_out_batch=8)
    file = tmp_path / "headroom.json"
    assert headroom.main([*asked, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["questions"] == 3
    assert figures["verdict"] in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--held_out_size", "0"], "held_out_size is 0"),
        (["--json"], "--json needs a file"),
        (["--json", "nowhere/at/all.json"], "there is no folder nowhere/at"),
        (["--no_such_key", "1"], "unknown options: --no_such_key"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headroom.main(["--config", "demo", *more]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and says in error
