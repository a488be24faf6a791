"""The demo's video memory: follows objects from their masks through later frames.

A step of training is a step of inference, for objects of different clips and with gradients.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import Sam2VideoModel

from segzero.segmentation.image_encoder import Features
from segzero.segmentation.video_memory import (
    MaskDecoderOutput,
    ObjectMemory,
    decode,
    encode_memory,
    init_memory,
)
from segzero_train.demo.clips import LENGTH, Clips
from segzero_train.demo.loop import Losses, train
from segzero_train.demo.segmenter import mask_losses
from segzero_train.demo.tracks import CLEARLY, open_footage, sample_track

_TRAINED = (
    "memory_attention.",
    "memory_encoder.",
    "memory_temporal_positional_encoding",
    "object_pointer_proj.",
    "no_object_pointer",
    "occlusion_spatial_embedding_parameter",
    "mask_downsample.",
    "prompt_encoder.mask_embed.",
    "mask_decoder.pred_obj_score_head.",
)
"""What only video uses: stills stay what they are, bit for bit."""


def train_memory(
    model: Any, clips: Clips, folder: Path, steps: int, device: torch.device
) -> Sam2VideoModel:
    """Train, or go on training, what only video uses of a model whose image half is trained."""
    model.to(device).eval()  # as at inference: the model's own training mode takes other branches
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(_TRAINED)
    _initialise(model)
    footage = open_footage(model, clips, folder / "features")

    def losses(step: int) -> Losses:
        rng = np.random.default_rng((2, step))
        length = int(rng.integers(3, 5 if step < steps // 4 else LENGTH + 1))
        track = sample_track(footage, length, rng, device)
        with torch.autocast(device.type, torch.bfloat16):
            found = list(follow(model, track.frames, track.masks[0]))
        return track_losses(found, track.masks[1:])

    train("memory", model, losses, steps, 1e-3, folder)
    return model


def follow(
    model: Any, frames: Sequence[Features], masks: torch.Tensor
) -> Iterator[MaskDecoderOutput]:
    """Follow B objects from their masks (B, S, S) in the first frame; yields for each later one."""
    memory = ObjectMemory(model, init_memory(model, frames[0], masks[:, None].float()))
    for frame in frames[1:]:
        found = decode(model, frame, memory.condition_on_memory(frame.image_embed))
        present = found.seen > 0
        memory.add(encode_memory(model, frame, found.masks(present), present, found.pointer))
        yield found


def track_losses(found: Sequence[MaskDecoderOutput], masks: torch.Tensor) -> Losses:
    """Masks count where the object is clearly seen; whether it is, where that is clear.

    masks: (L, B, S, S), the ground truth for each of the L found.
    """
    logits = torch.cat([item.logits for item in found]).float()
    scores = torch.cat([item.scores for item in found]).float()
    seen = torch.cat([item.seen for item in found]).float()[:, 0]
    ground_truth = masks.flatten(0, 1)
    area = ground_truth.sum((-2, -1))
    clear = area >= CLEARLY
    parts = mask_losses(
        logits[clear][:, None], scores[clear][:, None], ground_truth[clear][:, None]
    )
    certain = clear | (area == 0)
    target = clear[certain].float()
    return {**parts, "seen": functional.binary_cross_entropy_with_logits(seen[certain], target)}


def _initialise(model: Any) -> None:
    """transformers makes these zero, from where learning is slow or, in a sum of zeros, stuck."""
    torch.manual_seed(0)
    for parameter in (
        model.memory_temporal_positional_encoding,
        model.no_object_pointer,
        model.occlusion_spatial_embedding_parameter,
    ):
        nn.init.normal_(parameter, std=0.02)
    for layer in model.memory_encoder.memory_fuser.layers:
        nn.init.constant_(layer.scale, 0.1)
