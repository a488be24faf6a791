"""GRPO under DeepSpeed on the CPU: two processes over gloo, weights in float32.

`zero_run` starts the processes as torchrun does, and says what each has seen. `accelerate launch`
does so in `tests/benchmarks/test_interruptions.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate.utils import DeepSpeedPlugin
from safetensors.torch import load_file
from transformers.integrations.deepspeed import (
    is_deepspeed_zero3_enabled,
    unset_hf_deepspeed_config,
)

from segzero.devices import computes_bfloat16
from segzero.profiles import load_profile
from segzero.weights import resolve_weights
from segzero_train.training.model import without_zero3_init
from tests.segzero_train.gradients import build, distances, gradients, read_first_step
from tests.segzero_train.tiny_runs import ROOT, logged, recipe, words

pytestmark = pytest.mark.slow


STAGES = (2, 3)
BETA = 5e-3
Facts = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def facts(runs: Path, stage: int) -> Facts:
    """The folder of the stage's run, and what each process saw."""
    return runs / f"zero{stage}", seen(runs, f"zero{stage}")


def seen(runs: Path, name: str) -> list[dict[str, Any]]:
    """What each process of a run saw."""
    return [json.loads((runs / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def runs(noisy_qwen3_vl: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs on two processes, with the shipped DeepSpeed files.

    One of each stage; then two under ZeRO-3 in bfloat16, of which the second goes on from the
    first one's checkpoint. Each step has two questions, one on each process.
    """
    folder = tmp_path_factory.mktemp("zero")
    program = ["-m", "tests.segzero_train.zero_run"]
    asked: dict[str, dict[str, Any]] = {
        "zero2": {"stage": 2, **WATCHED},
        "zero3": {"stage": 3, **WATCHED},
        "half": {"stage": 3, **HALF, "save_strategy": "steps", "save_steps": 1},
        "resumed": {"stage": 3, **HALF, "resume_from_checkpoint": folder / "half/checkpoint-1"},
    }
    for name, options in asked.items():
        listed = arguments(noisy_qwen3_vl, table, folder / name, **options)
        program += ["--", str(folder / name), *listed]
    cpu = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    made = subprocess.run(
        [sys.executable, *program],
        env=os.environ | cpu,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return folder


WATCHED = {
    "held_out_size": 3,  # no even share
    "held_out_every": 1,
    "held_out_batch": 1,
    "samples_every": 1,
}
HALF = {
    "bf16": True,
    "use_cpu": True,
    "model_init_kwargs": '{"attn_implementation": "eager", "dtype": "bfloat16"}',
}


def arguments(profile: Path, table: Path, run: Path, *, stage: int, **more: Any) -> list[str]:
    deepspeed = {
        "deepspeed": ROOT / "config" / "deepspeed" / f"zero{stage}.json",
        "use_cpu": None,  # it would turn DeepSpeed off, were it not for the configured state
        "accelerator_config": '{"use_configured_state": true}',
    }
    step = {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "beta": BETA}
    return words(profile, table, run, **{**step, **deepspeed, **more})


def test_the_engine_is_deepspeeds_at_that_stage(facts: tuple, stage: int) -> None:
    optimizer = {2: "DeepSpeedZeroOptimizer", 3: "DeepSpeedZeroOptimizer_Stage3"}[stage]
    for process in facts[1]:
        assert (process["engine"], process["optimizer"]) == ("DeepSpeedEngine", optimizer)
        assert process["stage"] == stage
        assert process["processes"] == 2
        assert process["split"] is (stage == 3)


def test_optimizer_steps_change_the_parameters(facts: tuple) -> None:
    for process in facts[1]:
        assert process["steps"] == 2
        assert process["before"].keys() == process["after"].keys()
        moved = {
            name for name in process["before"] if process["before"][name] != process["after"][name]
        }
        assert {
            name for name in process["before"] if "lm_head" in name or "o_proj" in name
        } <= moved


def test_both_processes_end_with_the_same_weights(facts: tuple) -> None:
    first, second = facts[1]
    assert first["before"] == second["before"]
    assert first["after"] == second["after"]


def test_rewards_and_advantages_are_real(facts: tuple) -> None:
    steps = [entry for entry in logged(facts[0]) if "reward" in entry]
    assert [entry["step"] for entry in steps] == [1, 2]
    assert all(entry["reward_std"] > 0 and entry["grad_norm"] > 0 for entry in steps)
    assert steps[1]["kl"] > 0


def test_every_held_out_question_is_answered_once(facts: tuple) -> None:
    for step in range(3):
        written = json.loads((facts[0] / "greedy" / f"{step:06d}.json").read_text())
        names = sorted(item["id"] for item in written["questions"])
        assert names == ["val-00000", "val-00001", "val-00002"]
        assert written["giou"] > 0


def test_samples_are_of_both_processes(facts: tuple) -> None:
    lines = (facts[0] / "samples" / "000001.md").read_text().splitlines()
    assert len(lines) == 2 + 8
    assert (facts[0] / "samples" / "000001.png").is_file()


@pytest.mark.parametrize("folder", [".", "best"])
def test_whole_weights_are_saved(folder: str, facts: tuple, noisy_qwen3_vl: Path) -> None:
    saved = load_file(resolve_weights(str(facts[0] / folder), "tiny") / "model.safetensors")
    base = load_file(Path(load_profile(noisy_qwen3_vl).reasoner) / "model.safetensors")
    assert {name: value.shape for name, value in saved.items()} == {
        name: value.shape for name, value in base.items()
    }
    assert all(value.isfinite().all() for value in saved.values())
    if folder == ".":
        assert any(not torch.equal(saved[name], base[name]) for name in base)


def test_the_best_is_the_one_with_the_highest_giou(facts: tuple) -> None:
    scores = [json.loads(file.read_text()) for file in sorted((facts[0] / "greedy").iterdir())]
    best = json.loads((facts[0] / "best" / "score.json").read_text())
    assert best["giou"] == max(score["giou"] for score in scores)
    assert best["step"] == next(s["step"] for s in scores if s["giou"] == best["giou"])


def test_the_first_gradients_are_those_of_trls_trainer_on_one_process(
    facts: Facts, noisy_qwen3_vl: Path, table: Path, tmp_path: Path
) -> None:
    batches, found = read_first_step([Path(f"{facts[0]}-{rank}.pt") for rank in (0, 1)])
    plain = build(recipe(noisy_qwen3_vl, table, tmp_path, beta=BETA), plain=True)
    apart = distances(found, gradients(plain, *batches))
    assert len(apart) > 20
    assert max(apart.values()) < 1e-5


needs_bfloat16 = pytest.mark.skipif(
    not computes_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16"
)


@needs_bfloat16
def test_zero3_trains_in_bfloat16(runs: Path, noisy_qwen3_vl: Path) -> None:
    for process in seen(runs, "half"):
        assert process["bfloat16"] and process["split"]
        assert process["before"] != process["after"]
    saved = load_file(runs / "half" / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}


@needs_bfloat16
def test_a_run_under_zero3_goes_on_bit_for_bit_in_bfloat16(runs: Path) -> None:
    (whole, _), (resumed, _) = seen(runs, "half"), seen(runs, "resumed")
    assert resumed["before"] == whole["before"]  # it begins with the base's, and loads
    assert resumed["after"] == whole["after"]
    steps = [[s for s in logged(runs / name) if "reward" in s] for name in ("half", "resumed")]
    assert [step["step"] for step in steps[1]] == [1, 2]
    assert steps[0][1]["grad_norm"] == steps[1][1]["grad_norm"] > 0


def test_a_launchers_own_configuration_is_active_again_after_loading() -> None:
    plugin = DeepSpeedPlugin(zero_stage=3)
    plugin.set_deepspeed_weakref()
    try:
        with without_zero3_init(cast(Any, SimpleNamespace(deepspeed_plugin=plugin))):
            assert not is_deepspeed_zero3_enabled()
        assert is_deepspeed_zero3_enabled()
    finally:
        unset_hf_deepspeed_config()
