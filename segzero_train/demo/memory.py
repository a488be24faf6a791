"""The demo's video memory: follows objects from their masks through later frames.

A step of training is a step of inference, for a batch and with gradients: transformers' own goes
one object at a time and under `inference_mode`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import Sam2VideoModel

from segzero.segmenters.sam2_video import ABSENT
from segzero_train.demo.clips import LENGTH, Clips
from segzero_train.demo.frames import SIDE
from segzero_train.demo.loop import Losses, train
from segzero_train.demo.segmenter import mask_losses
from segzero_train.demo.tracks import CLEARLY, Features, open_footage, sample_track

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


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the mask decoder says of B objects in one frame.

    logits: (B, M, h, w) of all hypotheses. scores: (B, M), their estimated IoUs. seen: (B, 1) logit
    that the object is in the picture. pointer: (B, C). mask: (B, 1, S, S) logits of the hypothesis
    with the best score.
    """

    logits: torch.Tensor
    scores: torch.Tensor
    seen: torch.Tensor
    pointer: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What is kept of a frame: its feature map with positions, and the object's pointer."""

    features: torch.Tensor
    positions: torch.Tensor
    pointer: torch.Tensor


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


def follow(model: Any, frames: Sequence[Features], masks: torch.Tensor) -> Iterator[Found]:
    """Follow B objects from their masks (B, S, S) in the first frame; yields for each later one."""
    start = _start(model, frames[0], masks[:, None].float())
    recent: deque[Memory] = deque(maxlen=model.config.max_object_pointers_in_encoder - 1)
    for frame in frames[1:]:
        coarse = _attend(model, frame.coarse, start, recent)
        found = _decode(model, frame, coarse)
        recent.append(_remember(model, frame, found.mask, found.seen, found.pointer, exact=False))
        yield found


def track_losses(found: Sequence[Found], masks: torch.Tensor) -> Losses:
    """Masks count where the object is clearly seen; whether it is, where that is clear.

    masks: (L, B, S, S), the truth for each of the L found.
    """
    logits = torch.cat([item.logits for item in found]).float()
    scores = torch.cat([item.scores for item in found]).float()
    seen = torch.cat([item.seen for item in found]).float()[:, 0]
    truth = masks.flatten(0, 1)
    area = truth.sum((-2, -1))
    clear = area >= CLEARLY
    parts = mask_losses(logits[clear][:, None], scores[clear][:, None], truth[clear][:, None])
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


def _start(model: Any, frame: Features, masks: torch.Tensor) -> Memory:
    """A mask is taken as it is; the decoder only makes the pointer."""
    found = _decode(model, frame, frame.coarse, model.mask_downsample(masks))
    present = masks.flatten(1).any(1, keepdim=True).float() - 0.5
    return _remember(model, frame, masks - 0.5, present, found.pointer, exact=True)


def _attend(
    model: Any, coarse: torch.Tensor, start: Memory, recent: Sequence[Memory]
) -> torch.Tensor:
    """The coarse features of a frame in the light of what is remembered."""
    depth = model.config.num_maskmem - 1
    # The start takes the last of the temporal encodings, the frame before this one the first.
    kept = [(0, start), *((len(recent) - k, recent[k]) for k in range(len(recent)))]
    near = [(offset, item) for offset, item in kept if offset <= depth]
    times = model.memory_temporal_positional_encoding
    pointers = torch.stack([start.pointer, *(item.pointer for item in recent)])
    memory = torch.cat([*(item.features for _, item in near), pointers])
    positions = torch.cat(
        [*(item.positions + times[offset - 1] for offset, item in near), torch.zeros_like(pointers)]
    )
    flat = coarse.flatten(2).permute(2, 0, 1)
    place = model.vision_encoder.neck.position_encoding(coarse.shape, coarse.device, coarse.dtype)
    attended = model.memory_attention(
        current_vision_features=flat,
        current_vision_position_embeddings=place.flatten(2).permute(2, 0, 1),
        memory=memory,
        memory_posision_embeddings=positions,
        num_object_pointer_tokens=len(pointers),
    )
    return attended[0].transpose(1, 2).reshape(coarse.shape)


def _decode(
    model: Any, frame: Features, coarse: torch.Tensor, masks: torch.Tensor | None = None
) -> Found:
    """The mask decoder without points or boxes: the memory, or a mask, says which object."""
    count = len(coarse)
    sparse, dense = model.prompt_encoder(
        input_points=coarse.new_zeros(count, 1, 1, 2),
        input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=coarse.device),
        input_boxes=None,
        input_masks=masks,
    )
    places = model.get_image_wide_positional_embeddings()
    logits, scores, tokens, seen = model.mask_decoder(
        image_embeddings=coarse,
        image_positional_embeddings=places.repeat(count, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        high_resolution_features=[frame.fine, frame.middle],
    )
    logits, scores, tokens, seen = logits[:, 0], scores[:, 0], tokens[:, 0], seen[:, 0]
    rows, best = torch.arange(count, device=coarse.device), scores.argmax(-1)
    present = seen > 0
    mask = torch.where(present[..., None], logits[rows, best], ABSENT)[:, None].float()
    pointer = model.object_pointer_proj(tokens[rows, best])
    return Found(
        logits=logits,
        scores=scores,
        seen=seen,
        pointer=torch.where(present, pointer, model.no_object_pointer),
        mask=functional.interpolate(mask, (SIDE, SIDE), mode="bilinear", align_corners=False),
    )


def _remember(
    model: Any,
    frame: Features,
    mask: torch.Tensor,
    seen: torch.Tensor,
    pointer: torch.Tensor,
    exact: bool,
) -> Memory:
    """exact: whether the mask was given, and is no estimate."""
    features, positions = model._encode_new_memory(
        current_vision_feats=frame.coarse.flatten(2).permute(2, 0, 1),
        pred_masks_high_res=mask,
        object_score_logits=seen[..., None],
        is_mask_from_pts=exact,
    )
    return Memory(features=features.to(mask.dtype), positions=positions, pointer=pointer)
