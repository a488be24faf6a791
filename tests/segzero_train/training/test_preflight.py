"""What is wrong is said before weights are read, in one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from segzero.profiles import load_profile
from segzero_train import grpo, sft
from segzero_train.datasets.loading import load_rows
from segzero_train.errors import BadData, BadRecipe
from segzero_train.training.preflight import check_rewards_fit, check_style
from tests.segzero_train import tiny_runs
from tests.segzero_train.original_files import rectangle, ref, write_refcoco
from tests.segzero_train.original_files import run as prepare


@pytest.fixture
def no_weights(tmp_path: Path) -> Path:
    """A folder of weights without weights: whatever reads them fails."""
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def maskless(table: Path, tmp_path: Path) -> Path:
    rows = load_dataset("parquet", data_files={"val": str(table / "data/val-00000.parquet")})["val"]
    (tmp_path / "maskless/data").mkdir(parents=True)
    rows.remove_columns("mask").to_parquet(tmp_path / "maskless/data/val-00000.parquet")
    return tmp_path / "maskless"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with one object and one point, in the style vision_reasoner."""
    folder = tmp_path_factory.mktemp("several")
    write_refcoco(folder, [ref(1, 7)], {1: [rectangle(5, 5, 20, 20)]})
    words = ("refcocog", "--source", folder, "--images", folder / "train2014")
    assert prepare(*words, "--out", folder / "out", "--style", "vision_reasoner") == 0
    return folder / "out"


def errors(words: list[str], capfd: pytest.CaptureFixture[str], command: Any = grpo) -> list[str]:
    capfd.readouterr()
    assert command.main(words) == 1
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": "data/reasonseg", "held_out_size": 4}, "prepare reasonseg"),
        ({"held_out_split": "dev", "held_out_size": 4}, "no split 'dev'; it has"),
        ({"rewards": "acuracy"}, "unknown reward 'acuracy'"),
        ({"rewards": "accuracy=x"}, "the weight in 'accuracy=x'"),
        ({"rewards": "seg_zero_strict"}, "begin with the recipe seg_zero_7b"),
        ({"report_to": "wandb"}, "report_to: wandb needs its package"),
        ({"report_to": "tensorbord"}, "no tensorbord (did you mean tensorboard?)"),
        ({"resume_from_checkpoint": "runs/x/checkpoint-5"}, "is no whole checkpoint"),
        (
            {"model_init_kwargs": '{"attn_implementation": "flash_attention_2"}'},
            "needs the package flash_attn",
        ),
        ({"output_dir": "/proc/run"}, "output_dir: /proc/run can't be written"),
    ],
)
def test_what_is_wrong_is_said_before_weights_are_read(
    changes: dict[str, Any],
    message: str,
    table: Path,
    no_weights: Path,
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = tiny_runs.words("demo", table, run_folder, weights=no_weights, **changes)
    (line,) = errors(words, capfd)
    assert message in line
    assert not run_folder.exists()


@pytest.mark.parametrize("blocked", ["file/run", "file/a/b/run"])
def test_an_output_folder_below_a_file_is_refused(
    blocked: str, table: Path, no_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = tiny_runs.words("demo", table, tmp_path / blocked, weights=no_weights)
    (line,) = errors(words, capfd)
    assert "can't be written" in line


def test_held_out_rows_without_masks_are_refused_before_weights_are_read(
    maskless: Path, table: Path, no_weights: Path, run_folder: Path, capfd: Any
) -> None:
    held_out = {"held_out": maskless, "held_out_size": 4}
    words = tiny_runs.words("demo", table, run_folder, weights=no_weights, **held_out)
    (line,) = errors(words, capfd)
    assert "the greedy evaluation of held_out needs masks" in line


def test_the_supervised_baseline_is_checked_as_early(
    table: Path, no_weights: Path, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--profile", "demo", "--weights", str(no_weights), "--dataset", str(table)]
    more = ["--max_length", "null", "--output_dir", str(run_folder), "--use_cpu", "true"]
    (line,) = errors([*words, *more, "--report_to", "comet_ml"], capfd, sft)
    assert "report_to: comet_ml needs its package" in line


def test_a_style_that_does_not_fit_names_what_does(several: Path, table: Path) -> None:
    profile = load_profile("seg-zero-7b")
    for folder in (several, table):
        with pytest.raises(BadData, match=r"--style seg_zero, .* or own_7b_lora"):
            check_style(load_rows(str(folder), "train"), profile)
    check_style(load_rows(str(several), "train"), load_profile("vision-reasoner-7b"))


@pytest.mark.parametrize(
    ("rewards", "profile", "recipe"),
    [
        ("seg_zero_soft=2", "vision-reasoner-7b", "seg_zero_7b or seg_zero_3b"),
        ("seg_zero_strict.box_iou", "demo", "seg_zero_7b"),
        ("vision_reasoner", "seg-zero-7b", "own_7b_lora"),
        ("vision_reasoner_soft_accuracy", "seg-zero-7b", "vision_reasoner_7b"),
        ("vision_reasoner_box", "demo", "answer_format: vision_reasoner_box"),
        ("ranked.star.format", "seg-zero-7b", "vision_reasoner_7b"),
        ("vision_reasoner_no_thinking", "demo", "both without"),
    ],
)
def test_rewards_that_would_never_pay_are_refused(rewards: str, profile: str, recipe: str) -> None:
    with pytest.raises(BadRecipe, match=recipe):
        check_rewards_fit(["mask_iou", rewards], load_profile(profile))


@pytest.mark.parametrize("rewards", ["vision_reasoner", "vision_reasoner.format"])
def test_rewards_for_thinking_do_not_go_with_a_prompt_without(rewards: str) -> None:
    with pytest.raises(BadRecipe, match="disagree on whether the model thinks"):
        check_rewards_fit([rewards], load_profile("demo"), "vision_reasoner_no_thinking")


@pytest.mark.slow
def test_of_two_processes_one_speaks(table: Path, run_folder: Path) -> None:
    words = tiny_runs.words("demo", table, run_folder, held_out="data/none", held_out_size=2)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "segzero_train.grpo", *words],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        cwd=tiny_runs.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "there is no folder data/none" in line
