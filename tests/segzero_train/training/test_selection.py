"""`kept_generations`: a step trains on the best and the worst completions of a question."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segzero_train.errors import BadRecipe
from segzero_train.grpo import build_trainer
from segzero_train.recipe import GrpoOptions
from segzero_train.training.preflight import check_groups
from segzero_train.training.selection import extremes, keep_extremes
from tests.segzero_train.tiny_runs import recipe


@pytest.mark.parametrize(
    ("advantages", "kept", "rows"),
    [
        ([0.3, -2.0, 0.1, 1.6], 2, [1, 3]),
        ([0.3, -2.0, 0.1, 1.6], 3, [1, 2, 3]),
        ([0.3, -2.0, 0.1, 1.6], 4, [0, 1, 2, 3]),
        ([0.0, 0.0, 0.0, 0.0], 2, [0, 3]),
        ([1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0], 2, [0, 3, 4, 7]),
    ],
)
def test_the_best_and_the_worst_of_each_group_stay(
    advantages: list[float], kept: int, rows: list[int]
) -> None:
    assert extremes(torch.tensor(advantages), 4, kept).tolist() == rows


def rollout(advantages: list[float]) -> dict[str, Any]:
    """Rows that hold their own number; picture k has k + 1 patches."""
    count = len(advantages)
    return {
        "advantages": torch.tensor(advantages),
        "completion_ids": torch.arange(count)[:, None].repeat(1, 3),
        "num_items_in_batch": torch.tensor(3 * count),
        "pixel_values": torch.cat([torch.full((k + 1, 2), float(k)) for k in range(count)]),
        "image_grid_thw": torch.tensor([[1, 1, k + 1] for k in range(count)]),
        "num_images": [1] * count,
    }


def test_every_input_of_a_row_stays_with_it() -> None:
    kept = keep_extremes(rollout([0.5, -1.0, 0.1, 2.0]), group=4, kept=2)
    assert kept["completion_ids"][:, 0].tolist() == [1, 3]
    assert kept["image_grid_thw"].tolist() == [[1, 1, 2], [1, 1, 4]]
    assert kept["pixel_values"][:, 0].tolist() == [1.0] * 2 + [3.0] * 4
    assert kept["num_images"] == [1, 1]


@pytest.mark.parametrize("scale", [True, False])
def test_those_kept_are_compared_with_each_other(scale: bool) -> None:
    values = [3.0, -1.0, 0.0, 0.2]
    kept = keep_extremes(rollout(values), group=4, kept=3, scale=scale)["advantages"]
    chosen = torch.tensor([3.0, -1.0, 0.0])
    expected = chosen - chosen.mean()
    if scale:
        expected = expected / (chosen.std() + 1e-4)
    torch.testing.assert_close(kept, expected)


def test_a_group_without_variance_pulls_nowhere() -> None:
    kept = keep_extremes(rollout([0.0] * 4), group=4, kept=2)
    assert kept["advantages"].tolist() == [0.0, 0.0]


@pytest.mark.slow
def test_a_step_trains_on_those_kept(qwen2_5_vl: Path, table: Path, tmp_path: Path) -> None:
    words = {"rewards": ["vision_reasoner", "short_thinking"], "max_completion_length": 120}
    options, config = recipe(qwen2_5_vl, table, tmp_path, kept_generations=2, **words)
    trainer: Any = build_trainer(options, config)
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    scored = trainer._generate_and_score_completions(batch)
    assert len(trainer._logs["completion"]) == 8
    assert len(scored["advantages"]) == len(scored["num_images"]) == 4
    assert scored["num_items_in_batch"] == scored["completion_mask"].sum()
    assert trainer.train().global_step == 1


def config(batch: int, steps: int, samples: int) -> Any:
    return SimpleNamespace(
        per_device_train_batch_size=batch, steps_per_generation=steps, num_generations=samples
    )


@pytest.mark.parametrize(
    ("more", "batch", "message"),
    [
        ({"kept_generations": 16}, 6, "kept_generations needs all 64 completions .* has 48"),
        ({"rewards": ["ranked.mask_iou"]}, 6, "ranked rewards need all 64 completions"),
        ({"kept_generations": 1}, 8, "must be 0 or from 2 to 64, not 1"),
        ({"kept_generations": 65}, 8, "must be 0 or from 2 to 64, not 65"),
        ({"kept_generations": 12}, 8, "per_device_train_batch_size that is a multiple of 16"),
    ],
)
def test_groups_that_can_not_be_kept_are_refused(
    more: dict[str, Any], batch: int, message: str
) -> None:
    with pytest.raises(BadRecipe, match=message):
        check_groups(GrpoOptions(**more), config(batch, 8, 64))


@pytest.mark.parametrize("more", [{}, {"kept_generations": 16}, {"rewards": ["ranked.mask_iou"]}])
def test_whole_groups_are_taken(more: dict[str, Any]) -> None:
    check_groups(GrpoOptions(**more), config(8, 16, 64))
