"""The commands of the paper's tables, and the tables with what was measured."""

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image
from trl import GRPOConfig, SFTConfig

from segzero.profiles import load_profile
from segzero_train import prepare
from segzero_train.evaluation import options, paper_tables
from segzero_train.evaluation.paper_rows import MODELS, TABLES
from segzero_train.paper import ITEMS, commands, main
from segzero_train.recipe import GrpoOptions, SftOptions, read_recipe
from segzero_train.training.preflight import check_rewards_fit

RUNS = Path("runs/paper")


@pytest.mark.parametrize("item", ITEMS)
def test_every_command_is_one_that_its_module_reads(item: str) -> None:
    for command in commands([item], RUNS, "data/vqa"):
        module, *words = command.words
        if module == "segzero_train.grpo":
            read_recipe((GrpoOptions, GRPOConfig), [*words, "--use_cpu", "true"])
        elif module == "segzero_train.sft":
            read_recipe((SftOptions, SFTConfig), [*words, "--use_cpu", "true"])
        elif module == "segzero_train.evaluate":
            options.parser(None).parse_args(words)
        elif module == "segzero_train.prepare":
            prepare._parser().parse_args(words)
        else:
            assert module == "segzero_train.export"


def test_what_a_command_needs_comes_before_it() -> None:
    made: set[str] = set()
    for command in commands(ITEMS, RUNS, "data/vqa"):
        words = list(command.words)
        if words[0] == "segzero_train.export":
            assert words[1] in made
        if words[0] == "segzero_train.evaluate":
            profile = words[words.index("--profile") + 1]
            assert "/" not in profile or str(Path(profile).parent) in made
            assert "--vqa" in words or words[words.index("--dataset") + 1] in made
        if words[0] == "segzero_train.grpo":
            assert {"data/refcocog", "data/reasonseg"} <= made
        flag = "--output_dir" if "--output_dir" in words else "--out"
        made.add(words[words.index(flag) + 1])


def test_a_model_of_several_tables_is_trained_once() -> None:
    trained = [command.words for command in commands(ITEMS, RUNS, "x") if command.processes]
    assert len(trained) == len(set(trained)) == sum(m.train is not None for m in MODELS.values())


@pytest.mark.parametrize("item", TABLES)
def test_every_row_has_commands(item: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([item, "--launch", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(shlex.split(line)[:2] == ["python", "-m"] for line in lines)
    for figure in TABLES[item]:
        assert any(f"/results/{figure.model}/" in line for line in lines), figure


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.train])
def test_rewards_read_what_the_trained_model_is_asked_to_write(name: str) -> None:
    module, *words = MODELS[name].train or ()
    if module == "grpo":
        options, _ = read_recipe((GrpoOptions, GRPOConfig), [*words, "--use_cpu", "true"])
        check_rewards_fit(options.rewards, load_profile(options.profile), options.training_prompt)


@pytest.mark.parametrize("number", [6, 7])
def test_the_figures_are_those_of_the_evaluations_tables(number: int) -> None:
    (published,) = (item for item in paper_tables.TABLES if item.number == number)
    for row, values in published.rows:
        ours = [item.published for item in TABLES[f"table{number}"] if item.row == row]
        assert ours in ([], list(values))


def test_measured_figures_stand_beside_the_published_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results/rl_strict_7b/reasonseg-test"
    out.mkdir(parents=True)
    row = {"giou": 0.5712, "giou_95": [0.551, 0.593], "ciou": 0.52, "ciou_95": [0.5, 0.54]}
    scores = {"n": 779, "seg_zero": {"all": row}}
    (out / "scores.json").write_text(json.dumps(scores))
    assert main(["table5", "--collect", "--runs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| Qwen2.5-VL-7B | reasonseg test | giou | 57.5 | 57.1 (55.1 to 59.3) | 779 |" in printed
    assert "| Qwen2-VL-2B | reasonseg test | giou | 37.2 |  |  |" in printed


def test_figure_5_is_drawn_of_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["figure5", "--collect", "--runs", str(tmp_path)]
    assert main(words) == 0
    assert "| after RL |  |  |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for model, accuracy in (("baseline", 0.8), ("rl", 0.79)):
        out = tmp_path / "results" / model / "vqa"
        out.mkdir(parents=True)
        scores = {"n": 50, "accuracy": accuracy, "accuracy_95": [accuracy - 0.1, accuracy + 0.1]}
        (out / "scores.json").write_text(json.dumps(scores))
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "| before training | 80.0 (70.0 to 90.0) | 50 |" in printed
    assert "| after SFT |  |  |" in printed
    with Image.open(tmp_path / "figure5.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("text", ["", "[]", '{"accuracy": 1}', '{"accuracy_95": [1, "x"]}'])
def test_scores_of_another_kind_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    out = tmp_path / "results/sft/vqa"
    out.mkdir(parents=True)
    (out / "scores.json").write_text(text)
    assert main(["figure5", "--collect", "--runs", str(tmp_path)]) == 1
    assert "scores.json isn't an evaluation's scores" in capsys.readouterr().err


def test_a_command_that_fails_ends_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["figure5", "--run", "--launch", "none", "--runs", str(tmp_path)]
    assert main([*words, "--vqa", str(tmp_path / "absent")]) == 1
    assert "ended with status" in capfd.readouterr().err.splitlines()[-1]
