"""Runs that end early: killed, interrupted, out of disk; and going on with them."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segzero_train import grpo
from segzero_train.training.checkpointing import last_checkpoint
from tests.segzero_train.small_disk import files_of_at_most
from tests.segzero_train.tiny_runs import start, words

STEPS = 5
WATCHED: dict[str, Any] = {
    "dataset_size": 8,  # one a step: all steps are in the first epoch
    "per_device_train_batch_size": 4,
    "max_steps": STEPS,
    "learning_rate": 1e-3,
    "temperature": 1.0,
    "save_strategy": "steps",
    "save_steps": 1,
    "held_out_size": 2,
    "held_out_every": 2,
    "samples_every": 2,
}

pytestmark = pytest.mark.slow


def command(profile: Path, table: Path, run: Path, **changes: Any) -> list[str]:
    return words(profile, table, run, **{**WATCHED, **changes})


def wait(process: Any, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not ready():
        if process.poll() is not None:
            pytest.fail(f"ended by itself: {process.communicate()[1][-2000:]}")
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_equal(run: Path, other: Path) -> None:
    """Bit for bit, the optimizer's state included."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    last = f"checkpoint-{STEPS}/optimizer.pt"
    one, two = (torch.load(folder / last)["state"] for folder in (run, other))
    for key in one:
        assert torch.equal(one[key]["exp_avg_sq"], two[key]["exp_avg_sq"])


@pytest.fixture(scope="module")
def unkilled(qwen3_vl: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("unkilled") / "run"
    assert grpo.main(command(qwen3_vl, table, run)) == 0
    return run


@pytest.fixture(scope="module")
def two_steps(qwen3_vl: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was to end after two steps."""
    run = tmp_path_factory.mktemp("two_steps") / "run"
    assert grpo.main(command(qwen3_vl, table, run, max_steps=2)) == 0
    return run


def copy_recipe(run: Path, to: Path) -> None:
    """The run's, as if it had been made in that folder."""
    to.mkdir(exist_ok=True)
    recipe = (run / "recipe.yaml").read_text()
    (to / "recipe.yaml").write_text(recipe.replace(str(run), str(to)))


def copy(run: Path, to: Path) -> Path:
    """The whole run, as if it had been made in that folder."""
    shutil.copytree(run, to)
    copy_recipe(run, to)
    return to


def test_training_goes_somewhere(unkilled: Path) -> None:
    """Or else equal ends would mean nothing."""
    first = load_file(unkilled / "checkpoint-1" / "model.safetensors")
    last = load_file(unkilled / "model.safetensors")
    assert any(not torch.equal(first[name], last[name]) for name in last)


def test_a_killed_run_goes_on_bit_for_bit(
    unkilled: Path, qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    arguments = command(qwen3_vl, table, tmp_path / "run")
    process = start(arguments)
    # Right when the folder appears: as a rule, that one isn't whole.
    wait(process, (tmp_path / "run" / "checkpoint-3").is_dir)
    process.kill()
    process.communicate()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert grpo.main(arguments) == 0
    assert_equal(tmp_path / "run", unkilled)


def test_evaluating_doesnt_change_what_is_trained(
    unkilled: Path, qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    unwatched = {"held_out_size": 0, "samples_every": 0}
    assert grpo.main(command(qwen3_vl, table, tmp_path / "run", **unwatched)) == 0
    assert_equal(tmp_path / "run", unkilled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_its_step_and_goes_on_bit_for_bit(
    number: int, unkilled: Path, qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    rarely = {"save_steps": STEPS}
    arguments = command(qwen3_vl, table, run, **rarely)
    process = start(arguments)
    wait(process, (run / "samples" / "000002.md").is_file)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    last = last_checkpoint(run)
    assert last is not None
    assert errors.splitlines()[-1] == (
        f"interrupted. {last} is whole: the same command goes on from there."
    )
    assert "Traceback" not in errors
    assert grpo.main(arguments) == 0
    assert_equal(run, unkilled)


def test_a_half_written_checkpoint_is_passed_over(
    unkilled: Path, qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    copy_recipe(unkilled, run)
    for step in (2, 3):
        shutil.copytree(unkilled / f"checkpoint-{step}", run / f"checkpoint-{step}")
    (run / "checkpoint-3" / "trainer_state.json").unlink()
    (run / "checkpoint-3" / "optimizer.pt").write_bytes(b"half")
    assert last_checkpoint(run) == run / "checkpoint-2"
    assert grpo.main(command(qwen3_vl, table, run)) == 0
    assert_equal(run, unkilled)


def test_a_finished_run_isnt_trained_again(
    unkilled: Path,
    qwen3_vl: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(unkilled, tmp_path / "run"))
    (run / "recipe.yaml").unlink()
    assert grpo.main(command(qwen3_vl, table, run)) == 0
    assert "is finished: raise max_steps" in capsys.readouterr().out
    assert_equal(run, unkilled)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"learning_rate": 0.5}, "learning_rate (0.001 → 0.5)"),
        ({"rewards": ["accuracy"]}, "rewards (['vision_reasoner'] → ['accuracy'])"),
        ({"freeze_vision": True}, "freeze_vision (False → True)"),
    ],
)
def test_another_recipe_in_the_same_folder_is_refused(
    change: dict[str, Any],
    difference: str,
    unkilled: Path,
    qwen3_vl: Path,
    table: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (unkilled / "model.safetensors").stat()
    assert grpo.main(command(qwen3_vl, table, unkilled, **change)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "holds a run of another recipe" in line
    assert difference in line
    assert (unkilled / "model.safetensors").stat() == before


def test_a_run_may_be_made_longer(
    two_steps: Path, unkilled: Path, qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    run = copy(two_steps, tmp_path / "run")
    assert grpo.main(command(qwen3_vl, table, run)) == 0
    assert_equal(run, unkilled)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_leaves_the_last_checkpoint_whole(
    file: str,
    two_steps: Path,
    unkilled: Path,
    qwen3_vl: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No file may grow beyond a little less than the one that is named."""
    run = copy(two_steps, tmp_path / "run")
    room = (run / "checkpoint-2" / file).stat().st_size - 1000
    arguments = command(qwen3_vl, table, run)
    with files_of_at_most(room):
        assert grpo.main(arguments) == 1
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1].startswith("error: ")
    assert f"{run / 'checkpoint-2'} is whole: the same command goes on" in errors.splitlines()[-1]
    assert json.loads((run / "best" / "score.json").read_text())
    assert load_file(run / "best" / "model.safetensors")
    assert grpo.main(arguments) == 0
    assert_equal(run, unkilled)
