"""SAM 2's image encoder in less work, against transformers' forward pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Sam2Model, Sam2VideoConfig, Sam2VideoModel

from segzero.segmentation.image_encoder import Features, ImageEncoder
from segzero.segmentation.sam2_transformers import as_image_model

PIXELS = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 256, 256))).float()


def by_transformers(model: Sam2Model | Sam2VideoModel, pixels: torch.Tensor) -> list[torch.Tensor]:
    found = model.get_image_features(pixels, return_dict=True).fpn_hidden_states
    return [
        level.permute(1, 2, 0).unflatten(-1, size)
        for level, size in zip(found, model.backbone_feature_sizes, strict=True)
    ]


def levels(features: Features) -> list[torch.Tensor]:
    return [features.high_res_0, features.high_res_1, features.image_embed]


@pytest.mark.parametrize("windows", [[8, 4, 8, 4], [8, 4, 14, 7], [8, 4, 6, 3]])
@pytest.mark.parametrize("everywhere", [[], [3], [0, 3]], ids=["windows", "one", "two"])
@torch.inference_mode()
def test_features_are_those_of_transformers_bit_for_bit(
    sam2: Path, windows: list[int], everywhere: list[int]
) -> None:
    config = Sam2VideoConfig.from_pretrained(sam2)
    backbone: Any = config.vision_config.backbone_config
    backbone.window_size_per_stage = windows
    backbone.global_attention_blocks = everywhere
    torch.manual_seed(0)
    model = Sam2VideoModel(config).eval()
    for weights in model.parameters():  # fresh ones do too little to tell a mistake
        weights.normal_(std=0.2)
    for ours, theirs in zip(
        levels(ImageEncoder(model)(PIXELS)), by_transformers(model, PIXELS), strict=True
    ):
        assert ours.std() > 0.01
        assert torch.equal(ours, theirs)


@torch.inference_mode()
def test_half_precision_is_that_of_transformers(sam2: Path) -> None:
    model = Sam2VideoModel.from_pretrained(sam2, dtype=torch.bfloat16).eval()
    pixels = PIXELS.bfloat16()
    for ours, theirs in zip(
        levels(ImageEncoder(model)(pixels)), by_transformers(model, pixels), strict=True
    ):
        assert ours.dtype == torch.bfloat16
        assert torch.equal(ours, theirs)


@torch.inference_mode()
def test_image_and_video_model_share_one_encoder(sam2: Path) -> None:
    video = Sam2VideoModel.from_pretrained(sam2).eval()
    for one, other in zip(
        levels(ImageEncoder(as_image_model(video))(PIXELS)),
        levels(ImageEncoder(video)(PIXELS)),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_features_carry_no_gradients(sam2: Path) -> None:
    features = ImageEncoder(Sam2VideoModel.from_pretrained(sam2))(PIXELS[:1])
    assert not any(level.requires_grad for level in levels(features))


def test_one_picture_is_looked_at_for_many_objects() -> None:
    frame = Features(*(torch.randn(1, 8, size, size) for size in (16, 8, 4))).expand(5)
    assert frame.high_res_0.shape == (5, 8, 16, 16)
    assert torch.equal(frame.image_embed[0], frame.image_embed[4])
