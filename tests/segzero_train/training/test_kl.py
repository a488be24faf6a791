"""The clamped KL term is that of the authors' code, in value and gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segzero_train.errors import BadRecipe
from segzero_train.grpo import build_trainer
from segzero_train.training.kl import clamp_reference
from segzero_train.training.preprocessing import ModelSpace, training_space
from tests.segzero_train.tiny_runs import logged, recipe

DIFFERENCES = [-300.0, -12.0, -11.1, -10.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 2.6, 2.7, 5.0, 80.0]


def estimate(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """As TRL computes it."""
    return torch.exp(reference - logps) - (reference - logps) - 1


@pytest.mark.parametrize("limit", [0.1, 1.0, 10.0])
def test_values_and_gradients_are_those_of_a_clamp(limit: float) -> None:
    reference = torch.tensor(DIFFERENCES, dtype=torch.float64)
    ours, theirs = (torch.zeros_like(reference, requires_grad=True) for _ in range(2))
    clamped = estimate(theirs, reference).clamp(-limit, limit)
    clamped.sum().backward()
    made = estimate(ours, clamp_reference(ours, reference, limit))
    made.sum().backward()
    torch.testing.assert_close(made, clamped)
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.0, 1e-6])
def test_a_run_with_a_limit_logs_no_larger_divergence(
    limit: float, table: Path, run_folder: Path
) -> None:
    changes: dict[str, Any] = {"beta": 0.01, "max_steps": 2, "learning_rate": 1e-2}
    trainer = build_trainer(*recipe("demo", table, run_folder, kl_limit=limit, **changes))
    trainer.train()
    trainer.save_state()
    largest = max(entry["kl"] for entry in logged(run_folder) if "kl" in entry)
    assert (largest <= 1.01e-6) == (limit > 0)


def test_an_unknown_prompt_to_train_with_is_named() -> None:
    space: Any = ModelSpace("seg_zero", None, 840, (840, 840))  # type: ignore[arg-type]
    with pytest.raises(BadRecipe, match=r"'seg_zer' is none of seg_zero, .*vision_reasoner"):
        training_space(space, "seg_zer")
    assert training_space(space, "").prompt == "seg_zero"
