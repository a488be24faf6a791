"""The base for GRPO: a reasoner that can think, but seldom does.

Reward can only strengthen what is sampled. So the finished reasoner learns on, from answers of
which few have a thought and most an empty one: it then answers without thinking, worse, and still
thinks in some samples. GRPO finds that thinking pays.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from segzero_train.demo.frames import Frames
from segzero_train.demo.lessons import make_lesson
from segzero_train.demo.loop import Losses, train
from segzero_train.demo.writer import Writer

THOUGHTFUL = 0.12
"""Share of the completions that have the thought."""
_PICTURES, _QUESTIONS = 12, 3
_LEARNING_RATE = 3e-4


def train_base(
    model: Qwen3VLForConditionalGeneration,
    processor: Qwen3VLProcessor,
    frames: Frames,
    folder: Path,
    steps: int,
    device: torch.device,
) -> Qwen3VLForConditionalGeneration:
    """Make a finished reasoner a base that seldom thinks, from its last checkpoint.

    Args:
        model: The finished reasoner; it is trained in place, its vision tower frozen.
        processor: Of the model.
        frames: Training data.
        folder: For the checkpoint, `seldom.pt`.
        steps: Of 36 completions each.
        device: Where to train.

    Returns:
        The model, on `device`.
    """
    model = cast(Any, model).to(device).train()
    model.set_attn_implementation("eager")
    visual: Any = model.model.visual
    visual.requires_grad_(False)
    writer = Writer(processor, device)

    def losses(step: int) -> Losses:
        rng = np.random.default_rng((6, step))
        lesson = make_lesson(frames, rng, _PICTURES, _QUESTIONS, thoughtful=THOUGHTFUL)
        with torch.no_grad():
            seen = writer.look(model, lesson)
        return writer.losses(model, lesson, seen)

    train("seldom", model, losses, steps, _LEARNING_RATE, folder)
    visual.requires_grad_(True)
    return model.eval()
