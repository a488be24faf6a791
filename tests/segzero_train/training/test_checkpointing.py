"""The recipe that a run's folder holds, and what may change when it goes on."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Trainer

from segzero_train.errors import BadRecipe
from segzero_train.recipe import GrpoOptions, SftOptions
from segzero_train.training.checkpointing import (
    WholeCheckpoints,
    check_processes,
    record_recipe,
)


def test_a_run_goes_on_after_a_reward_was_renamed(tmp_path: Path) -> None:
    record_recipe(tmp_path, [GrpoOptions(rewards=["vision_reasoner", "nothing_there=3"])])
    record_recipe(tmp_path, [GrpoOptions(rewards=["vision_reasoner", "empty_answer=3"])])


def test_other_rewards_are_another_run(tmp_path: Path) -> None:
    record_recipe(tmp_path, [GrpoOptions(rewards=["empty_answer=3"])])
    with pytest.raises(BadRecipe, match=r"rewards .*empty_answer=3.* → .*empty_answer=2"):
        record_recipe(tmp_path, [GrpoOptions(rewards=["empty_answer=2"])])


def test_the_folder_of_a_supervised_run_is_no_grpo_run(tmp_path: Path) -> None:
    record_recipe(tmp_path, [SftOptions(profile="demo")])
    with pytest.raises(BadRecipe, match="another recipe"):
        record_recipe(tmp_path, [GrpoOptions(profile="demo", rewards=["accuracy"])])


@pytest.mark.parametrize(
    ("key", "before", "now"),
    [
        ("vllm_server_host", "node1", "node7"),
        ("ddp_timeout", 1800, 7200),
        ("held_out_batch", 32, 8),
        ("dataloader_num_workers", 0, 4),
        ("time_limit", "", "23:30"),
        ("save_total_limit", 3, 1),
    ],
)
def test_another_machine_is_no_other_run(key: str, before: Any, now: Any, tmp_path: Path) -> None:
    for value in (before, now):
        settings = SimpleNamespace(to_dict=lambda value=value: {"seed": 1, key: value})
        record_recipe(tmp_path, [settings])


def a_run(folder: Path, processes: int) -> Path:
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "trainer_state.json").write_text("{}")
    starts = [{"processes": 99}, {"processes": processes}]
    (folder / "run.json").write_text(json.dumps({"starts": starts}))
    return folder


@pytest.mark.parametrize(("before", "now"), [(8, 16), (8, 1), (1, 2)])
def test_another_number_of_processes_is_refused(before: int, now: int, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=f"go on with {before}, or .*--weights .*checkpoint-3"):
        check_processes(a_run(tmp_path, before), now)


@pytest.mark.parametrize("missing", ["checkpoint-3/trainer_state.json", "run.json", ""])
def test_what_has_no_other_number_of_processes_goes_on(missing: str, tmp_path: Path) -> None:
    run = a_run(tmp_path, 8)
    if missing:
        (run / missing).unlink()
    check_processes(run, 2 if missing else 8)


def test_all_processes_have_saved_before_a_checkpoint_counts_as_whole(tmp_path: Path) -> None:
    done: list[str] = []

    class Saving:
        accelerator = SimpleNamespace(wait_for_everyone=lambda: done.append("waited"))

        def _save_rng_state(self, output_dir: str) -> None:
            done.append("saved")

    class Trained(WholeCheckpoints, Saving):
        pass

    Trained()._save_rng_state(str(tmp_path))
    assert done == ["saved", "waited"]
    steps = inspect.getsource(Trainer._save_checkpoint)
    assert 0 < steps.index("self._save_rng_state(") < steps.index("TRAINER_STATE_NAME")
