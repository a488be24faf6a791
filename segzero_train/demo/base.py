"""The base for GRPO: a reasoner that can think, but seldom does.

Reward can only strengthen what is sampled. So the finished reasoner learns on, from answers of
which few have a thought and most an empty one: it then answers without thinking, worse, and still
thinks in some samples. GRPO finds that thinking pays.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from segzero.files import write_text_whole
from segzero.profiles import load_profile
from segzero_train.demo.frames import Frames
from segzero_train.demo.lessons import make_lesson
from segzero_train.demo.loop import Losses, train
from segzero_train.demo.reasoner import save_reasoner
from segzero_train.demo.writer import Writer

THOUGHTFUL = 0.12
"""Share of the completions that have the thought."""
_PICTURES, _QUESTIONS = 12, 3
_LEARNING_RATE = 3e-4
_SUMMARY = "the demo's reasoner, which seldom thinks; the base of config/grpo/demo.yaml"


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


def load_reasoner(folder: Path) -> tuple[Qwen3VLForConditionalGeneration, Qwen3VLProcessor]:
    """Load a demo reasoner and its processor, weights in float32."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model, Qwen3VLProcessor.from_pretrained(folder)


def save_base(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, folder: Path
) -> None:
    """Save the base, with a profile of it and the segmenter in the folder beside it."""
    save_reasoner(model, processor, folder)
    content: dict[str, Any] = asdict(load_profile("demo"))
    content |= {"summary": _SUMMARY, "reasoner": ".", "segmenter": "../segmenter"}
    del content["name"], content["server"]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    write_text_whole(folder / "profile.yaml", text)
