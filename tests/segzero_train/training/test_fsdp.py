"""GRPO under FSDP2 on two CPU processes over gloo, with the shipped configuration in float32."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segzero.profiles import load_profile
from segzero_train.errors import BadRecipe
from segzero_train.training.model import require_whole_saves
from tests.segzero_train.gradients import build, distances, gradients, read_first_step
from tests.segzero_train.tiny_runs import ROOT, logged, recipe, words


@pytest.fixture(scope="module")
def run(noisy_qwen3_vl: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps; each has two questions, one on each process."""
    run = tmp_path_factory.mktemp("fsdp") / "run"
    arguments = words(
        noisy_qwen3_vl, table, run, max_steps=2, per_device_train_batch_size=4, learning_rate=1e-3,
        temperature=1.0, use_cpu=None, max_grad_norm=1e9,
    )  # fmt: skip
    launch = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--mixed_precision", "no"]
    launch += ["--config_file", str(ROOT / "config/accelerate/8gpu_fsdp2.yaml")]
    launch += ["--main_process_port", "0", "-m", "tests.segzero_train.fsdp_run", str(run.parent)]
    machine = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    made = subprocess.run(
        [sys.executable, *launch, *arguments],
        env=os.environ | machine,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return run


@pytest.mark.slow
def test_a_run_under_fsdp2_learns_and_saves_whole_weights(run: Path, noisy_qwen3_vl: Path) -> None:
    assert all(step["grad_norm"] > 0 for step in logged(run) if "reward" in step)
    saved = load_file(run / "model.safetensors")
    base = load_file(Path(load_profile(noisy_qwen3_vl).reasoner) / "model.safetensors")
    assert {name: value.shape for name, value in saved.items()} == {
        name: value.shape for name, value in base.items()
    }
    assert any(not torch.equal(saved[name], base[name]) for name in base)


@pytest.mark.slow
def test_the_first_gradients_are_those_of_trls_trainer_on_one_process(
    run: Path, noisy_qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    batches, found = read_first_step([run.parent / f"first-{rank}.pt" for rank in (0, 1)])
    plain = build(recipe(noisy_qwen3_vl, table, tmp_path), plain=True)
    apart = distances(found, gradients(plain, *batches))
    assert len(apart) > 20
    assert max(apart.values()) < 1e-5


@pytest.mark.parametrize("kind", ["SHARDED_STATE_DICT", "LOCAL_STATE_DICT"])
def test_what_would_save_no_model_is_refused(kind: str) -> None:
    plugin = SimpleNamespace(state_dict_type=kind)
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))
    trainer: Any = SimpleNamespace(is_fsdp_enabled=True, accelerator=accelerator)
    with pytest.raises(BadRecipe, match="FULL_STATE_DICT"):
        require_whole_saves(trainer)
    plugin.state_dict_type = "StateDictType.FULL_STATE_DICT"
    require_whole_saves(trainer)
