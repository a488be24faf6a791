"""Training of the demo's video memory, which follows objects from a mask through later frames.

A training step runs the same functions as inference, on objects of different clips, with gradients.
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
from segzero_train.demo.loop import Losses, half_autocast, train
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
"""Parameters that only video uses; results on still images stay the same, bit for bit."""


def train_memory(
    model: Any, clips: Clips, folder: Path, steps: int, device: torch.device
) -> Sam2VideoModel:
    """Train the parameters that only video uses, from scratch or from the last checkpoint.

    Args:
        model: A Sam2VideoModel whose other parameters are trained.
        clips: Training data.
        folder: For the checkpoint and the encoded frames.
        steps: How many in all.
        device: Where to train.

    Returns:
        The model, on `device`.
    """
    model.to(device).eval()  # as at inference: the model's own training mode takes other branches
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(_TRAINED)
    _initialise(model)
    footage = open_footage(model, clips, folder / "features")

    def losses(step: int) -> Losses:
        rng = np.random.default_rng((2, step))
        length = int(rng.integers(3, 5 if step < steps // 4 else LENGTH + 1))
        track = sample_track(footage, length, rng, device)
        with half_autocast(device):
            found = list(follow(model, track.frames, track.masks[0]))
        return track_losses(found, track.masks[1:])

    train("memory", model, losses, steps, 1e-3, folder)
    return model


def follow(
    model: Any, frames: Sequence[Features], masks: torch.Tensor
) -> Iterator[MaskDecoderOutput]:
    """Follow B objects through frames.

    Args:
        model: A Sam2VideoModel.
        frames: Features of L frames, each of B images.
        masks: (B, S, S), the objects in the first frame, 0 or 1.

    Yields:
        The mask decoder's output for each of the L - 1 later frames.
    """
    memory = ObjectMemory(model, init_memory(model, frames[0], masks[:, None].float()))
    for frame in frames[1:]:
        found = decode(model, frame, memory.condition_on_memory(frame.image_embed))
        present = found.object_score_logits > 0
        memory.add(
            encode_memory(model, frame, found.best_masks(present), present, found.object_pointer)
        )
        yield found


def track_losses(found: Sequence[MaskDecoderOutput], masks: torch.Tensor) -> Losses:
    """Losses of masks, estimated IoUs and object scores.

    Mask losses count where the object is clearly visible; the score's loss where the object is
    clearly visible or entirely out of sight.

    Args:
        found: The mask decoder's output for L frames of B objects.
        masks: (L, B, S, S) float32 of 0 and 1, the ground truth.

    Returns:
        The parts of the loss.
    """
    logits = torch.cat([item.mask_logits for item in found]).float()  # (L·B, M, h, w)
    scores = torch.cat([item.ious for item in found]).float()  # (L·B, M)
    presence = torch.cat([item.object_score_logits for item in found]).float()[:, 0]  # (L·B,)
    ground_truth = masks.flatten(0, 1)  # (L·B, S, S)
    area = ground_truth.sum((-2, -1))  # (L·B,)
    clear = area >= CLEARLY
    parts = mask_losses(
        logits[clear][:, None], scores[clear][:, None], ground_truth[clear][:, None]
    )
    certain = clear | (area == 0)
    target = clear[certain].float()
    entropy = functional.binary_cross_entropy_with_logits(presence[certain], target)
    return {**parts, "presence": entropy}


def _initialise(model: Any) -> None:
    """Replace zero weights of transformers: from zero, learning is slow or has no gradient."""
    torch.manual_seed(0)
    for parameter in (
        model.memory_temporal_positional_encoding,
        model.no_object_pointer,
        model.occlusion_spatial_embedding_parameter,
    ):
        nn.init.normal_(parameter, std=0.02)
    for layer in model.memory_encoder.memory_fuser.layers:
        nn.init.constant_(layer.scale, 0.1)
