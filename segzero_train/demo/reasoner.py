"""The demo's reasoning model: a Qwen3-VL of about three million parameters.

Next-token training alone does not teach grounding to a model this small. Therefore the vision
tower first learns, at each patch, which object is there and where its box is ("looking"). Then the
whole model learns to write, with that first loss as an auxiliary one ("writing"). Last, with the
vision tower frozen, several questions about each picture teach that the answer depends on the
question: names first ("naming"), then all categories ("matching").
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from segzero_sim.scene import COLOURS, SHAPES
from segzero_train.datasets.tabletop_texts import ALL_CATEGORIES, NAMES_ONLY
from segzero_train.demo.frames import SIDE, Frames
from segzero_train.demo.lessons import GRID, MERGE, PATCH, Lesson, make_lesson
from segzero_train.demo.loop import Losses, half_autocast, train
from segzero_train.demo.tokenizer import CHAT_TEMPLATE, LARGEST_NUMBER, make_tokenizer
from segzero_train.demo.writer import Writer, number_ids

LOOKING_BATCH = 32
WRITING_BATCH = 32
MATCHING_BATCH = 16
QUESTIONS = 3
"""Questions about each picture of a matching batch."""
_WIDTH = 192


class DenseHead(nn.Module):
    """Predicts from an image token, for its four patches: shape, colour, box and point.

    Args:
        width: C, of the image tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kinds = len(SHAPES) + 1
        self.tints = len(COLOURS) + 1
        self.places = 6
        self.read = nn.Linear(width, MERGE**2 * (self.kinds + self.tints + self.places))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predict for each patch.

        Args:
            tokens: (T, C) float32.

        Returns:
            Logits of shapes (4T, kinds) and colours (4T, tints), and box and point (4T, 6) in
            shares of the image.
        """
        found = self.read(tokens)  # (T, 4·(kinds + tints + places))
        found = found.view(-1, self.kinds + self.tints + self.places)  # (4T, …)
        kinds, tints, places = found.split([self.kinds, self.tints, self.places], dim=-1)
        return kinds, tints, places


class Student(nn.Module):
    """The reasoner with the auxiliary head; only the reasoner is saved.

    Args:
        model: The reasoner.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.head = DenseHead(_WIDTH)


def train_reasoner(
    frames: Frames, folder: Path, steps: tuple[int, int, int, int], device: torch.device
) -> tuple[Qwen3VLForConditionalGeneration, Qwen3VLProcessor]:
    """Train all four stages, from scratch or from the last checkpoint.

    Args:
        frames: Training data.
        folder: For the checkpoints.
        steps: Of looking, writing, naming and matching.
        device: Where to train.

    Returns:
        The model, on `device`, and its processor.
    """
    looking, writing, naming, matching = steps
    torch.manual_seed(0)
    processor = make_processor()
    student = Student(new_model(processor)).to(device).train()
    visual: Any = student.model.model.visual
    grid = torch.tensor([[1, GRID, GRID]], device=device)

    def look_losses(step: int) -> Losses:
        lesson = make_lesson(frames, np.random.default_rng((2, step)), LOOKING_BATCH)
        with half_autocast(device):
            seen = visual(lesson.patches.to(device), grid.expand(LOOKING_BATCH, 3))
        return _dense_losses(student.head, seen.pooler_output.float(), lesson)

    # On a CPU and at this size plain attention takes a third less time than the fused kernel.
    student.model.set_attn_implementation("eager")
    if not any((folder / f"{later}.pt").exists() for later in ("writing", "naming", "matching")):
        train("looking", student, look_losses, looking, 1.5e-3, folder)
    writer = Writer(processor, device)

    def write_losses(step: int) -> Losses:
        lesson = make_lesson(frames, np.random.default_rng((3, step)), WRITING_BATCH)
        seen = writer.look(student.model, lesson)
        dense = _dense_losses(student.head, torch.cat(list(seen.pooler_output)).float(), lesson)
        return writer.losses(student.model, lesson, seen) | {
            key: 0.3 * value for key, value in dense.items()
        }

    def match_losses(step: int, categories: Mapping[int, float]) -> Losses:
        rng = np.random.default_rng((5, len(categories), step))
        lesson = make_lesson(frames, rng, MATCHING_BATCH, QUESTIONS, categories)
        with torch.no_grad():
            seen = writer.look(student.model, lesson)
        return writer.losses(student.model, lesson, seen, listing=0.2)

    if not any((folder / f"{later}.pt").exists() for later in ("naming", "matching")):
        train("writing", student, write_losses, writing, 1.2e-3, folder)
    visual.requires_grad_(False)
    student.head.requires_grad_(False)
    if not (folder / "matching.pt").exists():
        name_losses = partial(match_losses, categories=NAMES_ONLY)
        train("naming", student, name_losses, naming, 1e-3, folder)
    train(
        "matching",
        student,
        partial(match_losses, categories=ALL_CATEGORIES),
        matching,
        1e-3,
        folder,
    )
    visual.requires_grad_(True)
    return student.model.eval(), processor


def new_model(processor: Qwen3VLProcessor) -> Qwen3VLForConditionalGeneration:
    """A model with random weights; embeddings of numbers are a smooth function of their value."""
    tokenizer = processor.tokenizer
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": 2 * _WIDTH,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 48,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [8, 8, 8],
            },
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "out_hidden_size": _WIDTH,
            "num_position_embeddings": GRID**2,
            "deepstack_visual_indexes": [2],
        },
        tie_word_embeddings=True,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        embeddings: torch.Tensor = model.model.language_model.embed_tokens.weight
        values = torch.arange(LARGEST_NUMBER + 1) / LARGEST_NUMBER  # (1001,)
        waves = values[:, None] * torch.pi * torch.arange(1, _WIDTH // 4 + 1)  # (1001, C/4)
        smooth = torch.cat([waves.sin(), waves.cos()], dim=1)  # (1001, C/2)
        scale = embeddings.std()
        embeddings[number_ids(tokenizer), : smooth.shape[1]] = scale * smooth * 2**0.5
    return model


def make_processor() -> Qwen3VLProcessor:
    """The processor, for pictures of SIDE x SIDE pixels."""
    size = {"shortest_edge": SIDE**2, "longest_edge": SIDE**2}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=PATCH,
            merge_size=MERGE,
            size=size,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ),
        tokenizer=make_tokenizer(),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def save_reasoner(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, folder: Path
) -> None:
    """Save weights, tokenizer and processor in one folder, in the layout of published ones."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _dense_losses(head: DenseHead, tokens: torch.Tensor, lesson: Lesson) -> Losses:
    device = tokens.device
    kinds, tints, places = head(tokens)  # (P, kinds), (P, tints), (P, 6)
    kind, tint = lesson.kinds.to(device), lesson.tints.to(device)
    weight = torch.where(kind > 0, 1.0, 0.15)
    weight = weight / weight.sum()
    thing = (kind > 0).float()[:, None]
    error = functional.smooth_l1_loss(places, lesson.places.to(device), reduction="none", beta=0.03)
    return {
        "shape": (functional.cross_entropy(kinds, kind, reduction="none") * weight).sum(),
        "colour": (functional.cross_entropy(tints, tint, reduction="none") * weight).sum(),
        "place": 10 * (error * thing).sum() / (6 * thing.sum().clamp(min=1)),
    }
