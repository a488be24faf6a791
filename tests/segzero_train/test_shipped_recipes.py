"""The shipped recipes hold what the papers and their launch scripts say."""

import json
from typing import Any

import pytest
import torch
import yaml
from trl import GRPOConfig

from segzero.loading import load_segmenter
from segzero.profiles import load_profile
from segzero.segmentation.segmenter import Segmenter
from segzero_train.accumulation import accumulation, accumulation_words
from segzero_train.datasets.mixing import read_weights
from segzero_train.recipe import GrpoOptions
from segzero_train.rewards import RewardContext, build_rewards
from segzero_train.training.preflight import check_groups, check_rewards_fit
from tests.segzero_train.recipes import RECIPES, ROOT, shipped

PUBLISHED = ("seg_zero_3b", "seg_zero_7b", "vision_reasoner_7b")
LARGE = (*PUBLISHED, "qwen3_vl_8b")
VARIANTS = ("dapo_8b", "dr_grpo_8b", "gspo_8b")
STAR = ("star_8b", "star_8b_stage2")
GPUS = 8


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return load_segmenter(load_profile("demo"), torch.device("cpu"))


def test_the_promised_recipes_are_there() -> None:
    assert set(RECIPES) == {*LARGE, *VARIANTS, *STAR, "demo", "own_7b_lora"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_complete(name: str, segmenter: Segmenter) -> None:
    options, config = shipped(name)
    profile = load_profile(options.profile)
    context = RewardContext((840, 840), profile.completion_format, segmenter)
    functions, weights = build_rewards(options.rewards, context)
    check_rewards_fit(options.rewards, profile)
    assert len(functions) == len(weights) > 0
    assert config.report_to == ["tensorboard"]
    assert config.save_steps and options.held_out_size and options.samples_every


@pytest.mark.parametrize("name", LARGE)
def test_the_papers_optimizer(name: str) -> None:
    _, config = shipped(name)
    assert config.learning_rate == 1e-6
    assert config.lr_scheduler_type == "constant"
    assert config.warmup_steps == 0
    assert (config.weight_decay, config.max_grad_norm, config.seed) == (0.01, 1.0, 42)
    assert config.num_train_epochs == 1


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("seg_zero_3b", "grpo"),
        ("seg_zero_7b", "grpo"),
        ("vision_reasoner_7b", "bnpo"),
        ("qwen3_vl_8b", "grpo"),
    ],
)
def test_the_papers_loss(name: str, loss: str) -> None:
    _, config = shipped(name)
    assert config.loss_type == loss
    assert config.use_bias_correction_kl is False
    assert (config.entropy_coef, config.epsilon, config.temperature) == (1e-3, 0.2, 1.0)


@pytest.mark.parametrize("name", ["seg_zero_3b", "seg_zero_7b"])
def test_the_papers_weight_of_the_divergence(name: str) -> None:
    assert shipped(name)[1].beta == 5e-3


@pytest.mark.parametrize("gpus", [1, GPUS])
@pytest.mark.parametrize("name", LARGE)
def test_sixteen_questions_with_eight_completions_a_step(
    name: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, config = shipped(name)
    assert (options.prompts_per_step, config.num_generations) == (16, 8)
    # One optimizer step for each rollout.
    assert config.steps_per_generation == config.gradient_accumulation_steps
    assert config.num_iterations == 1
    monkeypatch.setenv("WORLD_SIZE", str(gpus))
    content = yaml.safe_load((ROOT / "config" / "grpo" / f"{name}.yaml").read_text())
    (_, steps) = accumulation_words((GrpoOptions, GRPOConfig), content, [])
    assert config.per_device_train_batch_size * int(steps) * gpus == 16 * 8


def test_a_gpus_micro_batch_is_its_whole_share_as_vision_reasoner_averages() -> None:
    assert accumulation(16, 8, shipped("vision_reasoner_7b")[1].per_device_train_batch_size, 8) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "dapo_8b",
            {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28, "scale_rewards": "group"},
        ),
        ("dr_grpo_8b", {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        (
            "gspo_8b",
            {
                "importance_sampling_level": "sequence",
                "epsilon": 3e-4,
                "epsilon_high": 4e-4,
                "num_iterations": 2,
            },
        ),
    ],
)
def test_other_algorithms_are_trls_options_on_the_same_data(
    name: str, expected: dict[str, Any]
) -> None:
    (options, config), (base, _) = shipped(name), shipped("qwen3_vl_8b")
    assert {key: getattr(config, key) for key in expected} == expected
    assert (config.beta, config.entropy_coef) == (0, 0)
    assert (options.datasets, options.held_out) == (base.datasets, base.held_out)
    assert set(base.rewards) <= set(options.rewards)


def test_qwen3_trains_on_several_objects_and_on_none() -> None:
    options, _ = shipped("qwen3_vl_8b")
    assert set(read_weights(options.datasets)) == {"data/grefcoco", "data/refcocog"}


@pytest.mark.parametrize(
    ("name", "rewards", "samples", "kept", "rate", "epochs"),
    [
        ("star_8b", ["star"], 16, 0, 1e-5, 1),
        ("star_8b_stage2", ["star_stage2"], 64, 16, 5e-6, 10),
    ],
)
def test_star_as_its_launch_scripts_have_it(
    name: str, rewards: list[str], samples: int, kept: int, rate: float, epochs: int
) -> None:
    options, config = shipped(name)
    assert (options.rewards, options.prompts_per_step) == (rewards, 16)
    assert (config.num_generations, options.kept_generations) == (samples, kept)
    assert (config.learning_rate, config.num_train_epochs) == (rate, epochs)
    assert (config.beta, config.entropy_coef, config.weight_decay) == (0, 0, 0.001)
    assert (options.lora_rank, options.lora_alpha, options.freeze_vision) == (64, 64, True)
    # The authors average over the tokens of two completions.
    assert config.loss_type == "bnpo"
    assert config.per_device_train_batch_size * (kept or samples) / samples == 2


@pytest.mark.parametrize("gpus", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("name", [*VARIANTS, *STAR])
def test_groups_are_whole_on_any_usual_number_of_gpus(name: str, gpus: int) -> None:
    options, config = shipped(name)
    samples, batch = config.num_generations, config.per_device_train_batch_size
    config.steps_per_generation = accumulation(options.prompts_per_step, samples, batch, gpus)
    check_groups(options, config)


@pytest.mark.parametrize("name", LARGE)
def test_checkpoints_are_bounded(name: str) -> None:
    assert shipped(name)[1].save_total_limit == 3


@pytest.mark.parametrize("stage", [2, 3])
def test_gradients_are_reduced_and_accumulated_in_float32(stage: int) -> None:
    content = json.loads((ROOT / f"config/deepspeed/zero{stage}.json").read_text())
    assert content["data_types"] == {"grad_accum_dtype": "fp32"}
    assert content["communication_data_type"] == "fp32"


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("seg_zero_3b", 1300), ("seg_zero_7b", 1300), ("vision_reasoner_7b", 2000)],
)
def test_the_papers_lengths(name: str, tokens: int) -> None:
    options, config = shipped(name)
    assert config.max_completion_length == tokens
    assert options.max_prompt_length == 1300


@pytest.mark.parametrize(
    ("name", "weights", "prompt", "rewards"),
    [
        ("seg_zero_3b", "Qwen/Qwen2.5-VL-3B-Instruct", "seg_zero", ["seg_zero_strict"]),
        ("seg_zero_7b", "Qwen/Qwen2.5-VL-7B-Instruct", "seg_zero", ["seg_zero_strict"]),
        (
            "vision_reasoner_7b",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "vision_reasoner",
            ["vision_reasoner"],
        ),
    ],
)
def test_the_papers_model_prompt_and_rewards(
    name: str, weights: str, prompt: str, rewards: list[str]
) -> None:
    options, _ = shipped(name)
    profile = load_profile(options.profile)
    assert (options.weights, options.rewards) == (weights, rewards)
    assert (profile.prompt, profile.answer_format) == (prompt, prompt)
    assert (profile.coordinates, profile.image_size) == ("absolute_pixels", 840)
    assert not options.freeze_vision and not options.lora_rank


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeeds_stage_is_the_files(stage: int) -> None:
    launch = yaml.safe_load((ROOT / f"config/accelerate/8gpu_zero{stage}.yaml").read_text())
    file = launch["deepspeed_config"]["deepspeed_config_file"]
    assert launch["num_processes"] == GPUS
    assert json.loads((ROOT / file).read_text())["zero_optimization"]["stage"] == stage
