"""Gradients of a trainer on a given micro-batch, and how far two of them are apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.utils import safe_get_full_grad
from transformers import TrainerCallback
from trl import GRPOTrainer

from segzero_train.grpo import build_trainer
from segzero_train.training import trainer as trainer_module

Gradients = dict[str, torch.Tensor]


def build(recipe: Any, *, plain: bool) -> Any:
    """The command's trainer, or with `plain` TRL's own `GRPOTrainer` with the same arguments."""
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setattr(trainer_module, "SegZeroGRPOTrainer", GRPOTrainer)
        return build_trainer(*recipe)


def gradients(trainer: Any, *batches: dict[str, Any]) -> Gradients:
    """The mean over micro-batches of their gradients, by the parameters' names, in float32."""
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    for batch in batches:
        (trainer.compute_loss(trainer.model, dict(batch)) / len(batches)).backward()
    return {
        name: parameter.grad.float()
        for name, parameter in trainer.model.named_parameters()
        if parameter.grad is not None
    }


def distances(ours: Gradients, theirs: Gradients) -> dict[str, float]:
    """Of the gradients of each parameter, by the norm of the second; without those that are 0."""
    assert ours.keys() == theirs.keys()
    return {
        name: float((ours[name] - gradient).norm() / gradient.norm())
        for name, gradient in theirs.items()
        if gradient.norm()
    }


class FirstStep(TrainerCallback):
    """Writes the first micro-batch of a process and the gradients of the first step to a file.

    The gradients are those of all processes, as the optimizer is given them, before clipping.
    """

    def __init__(self, trainer: Any, file: Path) -> None:
        """Watch a trainer that hasn't begun.

        Args:
            trainer: Of one process of a run under DeepSpeed or FSDP2.
            file: Where to write to.
        """
        self._trainer, self._file = trainer, file
        self._inputs: dict[str, Any] = {}
        self._plain, trainer.compute_loss = trainer.compute_loss, self._compute_loss
        trainer.add_callback(self)

    def on_train_begin(self, *inputs: Any, **named: Any) -> None:
        """Watch DeepSpeed's engine, which steps before transformers calls back."""
        if self._trainer.is_deepspeed_enabled:
            engine = self._trainer.model_wrapped
            plain = engine.step

            def step() -> None:
                self._write(safe_get_full_grad)
                plain()

            engine.step = step

    def on_pre_optimizer_step(self, *inputs: Any, **named: Any) -> None:
        """Write what the optimizer of FSDP2 is given."""
        if not self._trainer.is_deepspeed_enabled:
            self._write(lambda parameter: parameter.grad.full_tensor())

    def _compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        self._inputs = self._inputs or dict(inputs)
        return self._plain(model, inputs, *more, **named)

    def _write(self, gradient: Callable[[Any], torch.Tensor]) -> None:
        if self._file.exists():
            return
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        found = {name: gradient(value).float().clone() for name, value in model.named_parameters()}
        torch.save({"inputs": self._inputs, "gradients": found}, self._file)


def read_first_step(files: list[Path]) -> tuple[list[dict[str, Any]], Gradients]:
    """The micro-batch of each process, and the gradients of the first."""
    steps = [torch.load(file, weights_only=False) for file in files]
    return [step["inputs"] for step in steps], steps[0]["gradients"]
