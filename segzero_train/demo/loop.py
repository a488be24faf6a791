"""The training loop of both demo models: progress, checkpoints, exact resume."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from segzero.devices import choose_dtype, computes_bfloat16
from segzero.files import written_whole

_SAVE_EVERY = 250

Losses = dict[str, torch.Tensor]


def half_autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device has instructions for it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device))


def train(
    name: str,
    model: nn.Module,
    losses: Callable[[int], Losses],
    steps: int,
    learning_rate: float,
    folder: Path,
    each_save: Callable[[int], None] | None = None,
) -> None:
    """Minimise the sum of `losses(step)` with AdamW and a cosine schedule.

    An interrupted run continues from its last checkpoint, `folder/name.pt`, with the same result.

    Args:
        name: Of the stage.
        model: What is trained, in place.
        losses: The parts of the loss at a step; the batch must depend on the step only.
        steps: How many in all.
        learning_rate: The highest.
        folder: Where the checkpoint goes.
        each_save: Called with the step after each checkpoint.

    Raises:
        FloatingPointError: The loss isn't finite.
    """
    choose_dtype("bfloat16", next(model.parameters()).device, name)  # logs it
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / f"{name}.pt"
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    start = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    smooth: dict[str, float] = {}
    bar = tqdm(range(start, steps), initial=start, total=steps, desc=name, mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(step, steps)
        parts = losses(step)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{name}: the loss isn't finite at step {step}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for key, value in parts.items():
            smooth[key] = 0.98 * smooth.get(key, value.item()) + 0.02 * value.item()
        bar.set_postfix({key: f"{value:.3f}" for key, value in smooth.items()}, refresh=False)
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == steps:
            _save(state_file, model, optimizer, step + 1)
            if each_save is not None:
                each_save(step + 1)


def _schedule(step: int, steps: int) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine down to 2 %."""
    warmup = min(200, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _save(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    with written_whole(file) as partial:
        torch.save(state, partial)
