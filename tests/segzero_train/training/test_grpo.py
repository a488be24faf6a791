import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segzero.loading import load_segmenter
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero_train.datasets import columns
from segzero_train.datasets.loading import load_rows
from segzero_train.errors import BadRecipe
from segzero_train.grpo import build_trainer
from segzero_train.rewards import REWARD_SETS
from segzero_train.rewards.base import completion_text
from tests.segzero_train.tiny_runs import ROOT, logged, recipe


def build(profile: str | Path, table: Path, run: Path, **changes: Any) -> Any:
    """A trainer that keeps its rollouts in `rollouts`."""
    trainer: Any = build_trainer(*recipe(profile, table, run, **changes))
    trainer.rollouts = []
    generate = trainer._generate_and_score_completions

    def keep(inputs: list[dict[str, Any]]) -> dict[str, Any]:
        trainer.rollouts.append((inputs, generate(inputs)))
        return trainer.rollouts[-1][1]

    trainer._generate_and_score_completions = keep
    return trainer


def parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changed(model: Any, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, now in model.named_parameters() if not torch.equal(now, before[name])}


def vision(names: Any) -> set[str]:
    return {name for name in names if "visual" in name.split(".")}


def first_log(trainer: Any) -> dict[str, Any]:
    return next(entry for entry in trainer.state.log_history if "reward" in entry)


@pytest.fixture(scope="module")
def stepped(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict]:
    """A trainer of the demo model after one step with its vision frozen, and what was before."""
    trainer = build("demo", table, tmp_path_factory.mktemp("stepped"), freeze_vision=True)
    before = parameters(trainer.model)
    trainer.train()
    return trainer, before


def test_a_step_changes_every_parameter_that_is_trained(stepped: tuple) -> None:
    trainer, before = stepped
    assert changed(trainer.model, before) == before.keys() - vision(before)


def test_a_step_leaves_the_frozen_vision_alone(stepped: tuple) -> None:
    trainer, before = stepped
    assert len(vision(before)) > 20
    assert not vision(changed(trainer.model, before))


@pytest.mark.slow
def test_vision_is_trained_unless_frozen(table: Path, tmp_path: Path) -> None:
    trainer = build("demo", table, tmp_path)
    before = parameters(trainer.model)
    trainer.train()
    assert changed(trainer.model, before) == before.keys()


def test_rewards_are_of_the_completions_that_the_model_wrote(stepped: tuple) -> None:
    trainer, _ = stepped
    ((inputs, batch),) = trainer.rollouts
    texts = trainer.processing_class.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    logs = trainer._logs
    assert [completion_text(item) for item in logs["completion"]] == texts
    for reward in REWARD_SETS["vision_reasoner"]:
        expected = reward(completions=texts, solution=[row["solution"] for row in inputs])
        assert list(logs["rewards"][reward.__name__]) == pytest.approx(expected)


def test_a_better_completion_gets_a_higher_advantage(stepped: tuple) -> None:
    trainer, _ = stepped
    ((_, batch),) = trainer.rollouts
    totals = np.sum([list(values) for values in trainer._logs["rewards"].values()], 0)
    groups = totals.reshape(-1, trainer.num_generations)
    assert any(len(set(group)) > 1 for group in groups)
    expected = (groups - groups.mean(1, keepdims=True)) / (groups.std(1, ddof=1)[:, None] + 1e-4)
    advantages = batch["advantages"].reshape(groups.shape).numpy()
    assert advantages == pytest.approx(expected, abs=1e-4)
    for rewards, better in zip(groups, advantages, strict=True):
        for one in range(len(rewards)):
            for other in range(len(rewards)):
                if rewards[one] > rewards[other]:
                    assert better[one] > better[other]


def test_a_step_makes_better_completions_likelier(stepped: tuple) -> None:
    trainer, before = stepped
    ((_, batch),) = trainer.rollouts
    after = _log_likelihood(trainer, batch)
    now = parameters(trainer.model)
    trainer.model.load_state_dict(before, strict=False)
    gain = after - _log_likelihood(trainer, batch)
    trainer.model.load_state_dict(now, strict=False)
    advantages = batch["advantages"]
    assert (gain * advantages).sum() > 0
    assert gain[advantages.argmax()] > gain[advantages.argmin()]


@torch.no_grad()
def _log_likelihood(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Mean log likelihood of the tokens of each completion."""
    mask = batch["completion_mask"]
    shared = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    values, *_ = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], mask], 1),
        mask.shape[1],
        **{key: batch[key] for key in shared},
    )
    return (values * mask).sum(1) / mask.sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_both_architectures_take_steps(
    family: str, table: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    profile = request.getfixturevalue(family)
    # The tiny model's layers add nothing until the first step has changed them.
    trainer = build(profile, table, tmp_path, max_steps=3, learning_rate=1e-3)
    before = parameters(trainer.model)
    trainer.train()
    rewards = [list(values) for values in trainer._logs["rewards"].values()]
    assert any(len(set(values)) > 1 for values in rewards)
    moved = changed(trainer.model, before)
    assert {name for name in before if "lm_head" in name or "o_proj" in name} <= moved
    assert vision(moved)


@pytest.mark.slow
def test_lora_trains_its_adapters_alone(table: Path, tmp_path: Path) -> None:
    trainer = build("demo", table, tmp_path, max_steps=2, lora_rank=2)
    before = parameters(trainer.model)
    trainer.train()
    adapters = {name for name in before if "lora_" in name}
    assert changed(trainer.model, before) == adapters
    assert adapters and not vision(adapters)
    trainer.save_model(str(tmp_path / "adapters"))
    saved = load_file(tmp_path / "adapters" / "adapter_model.safetensors")
    assert len(saved) == len(adapters)


@pytest.mark.slow
def test_the_mask_itself_can_be_rewarded(table: Path, tmp_path: Path) -> None:
    trainer = build("demo", table, tmp_path, rewards=["vision_reasoner", "mask_iou=3"])
    before = parameters(trainer.model)
    trainer.train()
    values = trainer._logs["rewards"]["mask_iou"]
    assert all(0 <= value <= 1 for value in values)
    assert any(0.1 < value < 1 for value in values)
    assert trainer.reward_weights.tolist() == [1, 1, 1, 3]
    assert changed(trainer.model, before)


def test_the_mask_reward_is_the_iou_of_segzeros_own_mask(table: Path, tmp_path: Path) -> None:
    trainer = build("demo", table, tmp_path, rewards=["mask_iou"])
    row = trainer.train_dataset[0]
    (stored,) = load_rows(str(table), "train", 1)
    (reward,) = trainer.reward_funcs
    ground_truth = f"<think>here</think><answer>{row['solution']}</answer>"
    batch = {key: [value] for key, value in row.items() if key != "prompt"}
    # Drawn on the squashed image: close to what `ask` draws on the stored one.
    (value,) = reward(completions=[ground_truth], **batch)
    segmenter = load_segmenter(load_profile("demo"), torch.device("cpu"))
    drawn = segmenter.segment(columns.row_image(stored), columns.row_objects(stored))
    ids = columns.row_mask(stored)
    mask = np.logical_or.reduce([mask for mask, _ in drawn])
    assert value == pytest.approx((mask & (ids > 0)).sum() / (mask | (ids > 0)).sum(), abs=0.1)
    assert value > 0.5


@pytest.mark.slow
def test_the_divergence_from_the_start_is_penalised(table: Path, tmp_path: Path) -> None:
    trainer = build("demo", table, tmp_path, max_steps=2, beta=5e-3, use_bias_correction_kl=False)
    reference = parameters(trainer.ref_model)
    trainer.train()
    first, second = (entry["kl"] for entry in trainer.state.log_history if "kl" in entry)
    assert first == pytest.approx(0, abs=1e-6)
    assert second > 1e-6
    assert not changed(trainer.ref_model, reference)


def test_weights_that_would_lose_small_steps_are_refused(table: Path, tmp_path: Path) -> None:
    half = '{"dtype": "bfloat16", "attn_implementation": "eager"}'
    with pytest.raises(BadRecipe, match=r"torch\.bfloat16 can't be trained without DeepSpeed"):
        build("demo", table, tmp_path, model_init_kwargs=half)


def test_freezing_a_vision_tower_that_isnt_there_is_refused() -> None:
    from segzero_train.training.model import freeze

    with pytest.raises(BadRecipe, match="Linear has no part named `visual`"):
        freeze(torch.nn.Linear(1, 1), vision=True)


def test_training_starts_from_the_weights_that_the_recipe_names(
    demo_run: Path, table: Path, tmp_path: Path
) -> None:
    trainer = build("demo", table, tmp_path, weights=demo_run)
    expected = load_file(demo_run / "model.safetensors")
    state = trainer.model.state_dict()
    assert expected and all(torch.equal(state[name], value) for name, value in expected.items())


def test_a_run_leaves_its_recipe(demo_run: Path) -> None:
    written = yaml.safe_load((demo_run / "recipe.yaml").read_text())
    assert (written["profile"], written["freeze_vision"]) == ("demo", True)
    assert (written["learning_rate"], written["num_generations"]) == (1e-4, 4)


@pytest.mark.parametrize("step", [1, 2])
def test_a_run_leaves_checkpoints(demo_run: Path, step: int) -> None:
    checkpoint = demo_run / f"checkpoint-{step}"
    assert load_file(checkpoint / "model.safetensors")
    names = {path.name for path in checkpoint.iterdir()}
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= names


def test_a_run_logs_what_grpo_is_watched_by(demo_run: Path) -> None:
    steps = [entry for entry in logged(demo_run) if "reward" in entry]
    assert [entry["step"] for entry in steps] == [1, 2]
    keys = ("completions/mean_length", "completions/min_length", "rewards/accuracy/mean", "entropy")
    assert all(key in entry for key in keys for entry in steps)
    assert all(entry["grad_norm"] > 0 for entry in steps)


def test_a_run_leaves_events_for_tensorboard(demo_run: Path) -> None:
    (file,) = demo_run.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    assert {"train/reward", "eval/greedy/giou"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/reward")] == [1, 2]


def test_a_run_ends_with_its_last_checkpoint(demo_run: Path) -> None:
    last = load_file(demo_run / "checkpoint-2" / "model.safetensors")
    final = load_file(demo_run / "model.safetensors")
    assert last.keys() == final.keys()
    assert all(torch.equal(last[name], final[name]) for name in last)


@pytest.mark.parametrize("folder", [".", "best"])
def test_what_a_run_leaves_answers_in_segzero_as_it_did_in_the_run(
    folder: str, demo_run: Path, table: Path, tmp_path: Path
) -> None:
    shipped = yaml.safe_load((ROOT / "config" / "profiles" / "demo.yaml").read_text())
    weights = {"reasoner": str(demo_run / folder), "segmenter": load_profile("demo").segmenter}
    file = tmp_path / "tuned.yaml"
    file.write_text(yaml.safe_dump(shipped | weights))
    score = demo_run / folder / "score.json"
    step = json.loads(score.read_text())["step"] if folder == "best" else 2
    answered = json.loads((demo_run / "greedy" / f"{step:06d}.json").read_text())["questions"]
    written = {item["id"]: item["completion"] for item in answered}
    whole = {key: text for key, text in written.items() if text.endswith("</answer>")}
    segzero = SegZero.load(file, device="cpu")
    rows = [row for row in load_rows(str(table), "val", 4) if row["id"] in whole]
    assert rows
    for row in rows:
        assert segzero.ask(columns.row_image(row), row["problem"]).text == whole[row["id"]]


def test_help_is_quick_to_come() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import sys, segzero_train.grpo; print('torch' in sys.modules)"],
        env=os.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == "False"
