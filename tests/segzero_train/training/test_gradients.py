"""The gradient of every shipped GRPO recipe is that of TRL's plain trainer, name by name.

A recipe is read as the command reads it, on a tiny model: loss, KL term, clipping, entropy term,
accumulation, adapters and frozen parts are its own. Both trainers are given the same micro-batch of
fixed completions, which an older policy wrote. What is left is the order of sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from segzero.profiles import load_profile
from segzero_train.grpo import build_trainer
from segzero_train.recipe import GrpoOptions
from segzero_train.training import logprobs
from tests.segzero_train import gradients
from tests.segzero_train.gradients import Gradients, distances
from tests.segzero_train.recipes import RECIPES, read, shipped
from tests.segzero_train.tiny_runs import recipe

pytestmark = pytest.mark.slow

FLOAT32 = 1e-5
"""Largest distance of the gradients of a parameter, by the norm of TRL's; measured: 1.4e-6."""
ROUNDING = 2.0
"""In bfloat16 ours may be this much farther from the float32 gradient than TRL's; measured: 1.5."""
EVEN = 0.01
"""What both may be off in bfloat16 in any case."""


@dataclass(frozen=True)
class Measured:
    """Gradients of a recipe on one micro-batch, by the trainer and its type."""

    options: GrpoOptions
    exact: Gradients
    ours: Gradients
    plain_half: Gradients
    our_half: Gradients
    fast: bool


@pytest.fixture(scope="module")
def build(
    request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Trainers of a recipe on a tiny model of its family: the command's, or TRL's own."""

    def make(name: str, plain: bool) -> Any:
        words = ["--config", name, "--dataset", str(table), "--held_out_size", "0"]
        words += ["--profile", str(request.getfixturevalue(family(name)))]
        words += ["--rewards", "vision_reasoner", "--samples_every", "0", "--bf16", "false"]
        words += ["--model_init_kwargs", '{"dtype": "float32", "attn_implementation": "eager"}']
        words += ["--output_dir", str(tmp_path_factory.mktemp("run")), "--report_to", "none"]
        return gradients.build(read(*words), plain=plain)

    return make


def family(recipe_name: str) -> str:
    """The fixture with a tiny model as the recipe's."""
    space = load_profile(shipped(recipe_name)[0].profile).coordinates
    return {"relative_1000": "qwen3_vl", "absolute_pixels": "qwen2_5_vl"}[space]


@pytest.fixture(scope="module")
def micro_batch(
    request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Four completions of two questions, once written by a tiny model of the family."""

    @cache
    def write(name: str) -> dict[str, Any]:
        run = tmp_path_factory.mktemp("rollout")
        words = {"max_completion_length": 60, "beta": 0.1}
        words |= {"num_generations": 2, "per_device_train_batch_size": 4}
        trainer = build_trainer(*recipe(request.getfixturevalue(name), table, run, **words))
        torch.manual_seed(3)
        rows = next(iter(trainer.get_train_dataloader()))
        return trainer._generate_and_score_completions(rows)

    return write


def perturbed(trainer: Any, dtype: torch.dtype) -> Any:
    """The trainer's model with small random numbers added: zeros would hide its layers."""
    dice = torch.Generator().manual_seed(7)
    for _, parameter in sorted(trainer.model.named_parameters()):
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=dice)
    return trainer.model.to(dtype)


def off_policy(trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch as if an older policy had written it: ratios on both sides of the clipping."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    pictures = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    given = {key: batch[key] for key in pictures}
    model, length = trainer.model, batch["completion_ids"].shape[1]
    with torch.no_grad():
        now = trainer._get_per_token_logps_and_entropies(model, ids, mask, length, **given)[0]
    dice = torch.Generator().manual_seed(8)
    away = 0.3 * torch.randn(now.shape, generator=dice)
    if trainer.importance_sampling_level == "sequence":
        away = 1e-3 * torch.randn(len(now), 1, generator=dice).expand_as(now)
    return {
        **batch,
        "advantages": torch.linspace(-1, 2, len(now)),
        "old_per_token_logps": now + away,
        "ref_per_token_logps": now + 0.3 * torch.randn(now.shape, generator=dice),
    }


@pytest.fixture(scope="module", params=RECIPES)
def measured(
    request: pytest.FixtureRequest,
    build: Callable[..., Any],
    micro_batch: Callable[[str], dict[str, Any]],
) -> Measured:
    name = request.param
    options, batch = shipped(name)[0], micro_batch(family(name))
    found: list[Gradients] = []
    inputs: dict[str, Any] = {}
    ours: Any = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logprobs, "BUCKET_SIZE", 3)  # more buckets than one
        for dtype in (torch.float32, torch.bfloat16):
            plain, ours = build(name, plain=True), build(name, plain=False)
            for trainer in (plain, ours):
                trainer.model = perturbed(trainer, dtype)
                inputs = inputs or off_policy(trainer, batch)
                found.append(gradients.gradients(trainer, inputs))
    exact, ours_exact, half, our_half = found
    return Measured(options, exact, ours_exact, half, our_half, bool(ours._fast_logprobs))


def test_gradients_in_float32_are_trls(measured: Measured) -> None:
    assert measured.fast
    assert max(distances(measured.ours, measured.exact).values()) < FLOAT32


def test_gradients_in_bfloat16_are_as_near_to_the_exact_ones_as_trls(measured: Measured) -> None:
    theirs = distances(measured.plain_half, measured.exact)
    ours = distances(measured.our_half, measured.exact)
    farther = {name: (ours[name], theirs[name]) for name in theirs if ours[name] > EVEN}
    assert not {name: d for name, d in farther.items() if d[0] > ROUNDING * d[1]}


def test_all_that_the_recipe_trains_has_a_gradient(measured: Measured) -> None:
    assert all(gradient.norm() > 0 for gradient in measured.exact.values())
    adapters, vision = ({word in name for name in measured.exact} for word in ("lora_", "visual"))
    assert adapters == {measured.options.lora_rank > 0}
    assert (True in vision) is not measured.options.freeze_vision
