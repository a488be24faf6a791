from pathlib import Path

import pytest
import torch
from torch import nn

from segzero_train.demo import loop
from segzero_train.demo.loop import Losses, train


def fit(model: nn.Linear, folder: Path, die_at: int | None = None) -> None:
    """Twenty steps towards a fixed function, each with the batch that belongs to it."""

    def losses(step: int) -> Losses:
        if step == die_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return {"error": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    train("line", model, losses, steps=20, learning_rate=0.1, folder=folder)


def new_line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_training_lowers_the_loss(run_folder: Path) -> None:
    model = new_line()
    before = (model.weight - 1).abs().max().item()
    fit(model, run_folder)
    assert (model.weight - 1).abs().max().item() < before


def test_an_interrupted_run_ends_with_the_same_parameters(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 5)
    whole, broken = new_line(), new_line()
    fit(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(broken, run_folder, die_at=13)
    resumed = new_line()
    fit(resumed, run_folder)
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_a_loss_that_is_not_finite_ends_the_run(run_folder: Path) -> None:
    model = new_line()
    with pytest.raises(FloatingPointError, match="step 0"):
        train(
            "line",
            model,
            lambda step: {"error": model.weight.sum() * float("nan")},
            steps=1,
            learning_rate=0.1,
            folder=run_folder,
        )
