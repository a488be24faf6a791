"""SAM 2's memory of objects: how they are found again in a frame, and what is kept of it.

`model` is a Sam2VideoModel throughout; its own session takes one object at a time, without
gradients. Here B objects go together, whether they are followed or learnt from.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from segzero.segmentation.image_encoder import Features

_ABSENT = -1024.0
"""Logit of the pixels of an object that isn't seen, and of pixels that belong to another."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskDecoderOutput:
    """What the mask decoder says of B objects in one frame.

    logits: (B, M, h, w) of all hypotheses. scores: (B, M), their estimated IoUs. seen: (B, 1) logit
    that the object is in the picture. best: (B,), the hypothesis with the highest score.
    pointer: (B, C) of the best.
    """

    logits: torch.Tensor
    scores: torch.Tensor
    seen: torch.Tensor
    best: torch.Tensor
    pointer: torch.Tensor

    def masks(self, present: torch.Tensor) -> torch.Tensor:
        """(B, 1, h, w) logits of the best hypotheses, -1024 where `present` (B, 1) is false."""
        rows = torch.arange(len(self.best), device=self.best.device)
        logits = self.logits[rows, self.best][:, None]
        return logits.masked_fill(~present[..., None, None], _ABSENT)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What is kept of a frame for B objects.

    features, positions: (hw, B, m), its map. pointer: (B, C).
    """

    features: torch.Tensor
    positions: torch.Tensor
    pointer: torch.Tensor


class ObjectMemory:
    """What is remembered of B objects: the start, the last few frames, and pointers of some more.

    It is all that the model can look at, so that memory stays bounded.
    """

    def __init__(self, model: Any, start: Memory) -> None:
        self._model = model
        self._start = start
        self._near: deque[Memory] = deque(maxlen=model.config.num_maskmem - 1)
        pointers = model.config.max_object_pointers_in_encoder - 1
        self._pointers: deque[torch.Tensor] = deque(maxlen=pointers)  # the newest first
        self._age = 0

    def add(self, memory: Memory) -> None:
        """Remember the next frame."""
        self._near.append(memory)
        self._pointers.appendleft(memory.pointer)
        self._age += 1

    def condition_on_memory(self, image_embed: torch.Tensor) -> torch.Tensor:
        """The coarse features (B, C, h, w) of the next frame in the light of what is remembered."""
        model, count = self._model, len(image_embed)
        # The start takes the last of the temporal encodings, the frame before this one the first.
        near = [(0, self._start)]
        near += [(len(self._near) - k, memory) for k, memory in enumerate(self._near)]
        times = model.memory_temporal_positional_encoding
        pointers, pointer_positions = model._process_object_pointers(
            [self._age + 1, *range(1, len(self._pointers) + 1)],
            [self._start.pointer, *self._pointers],
            model.config.max_object_pointers_in_encoder,
            count,
            model.hidden_dim,
            image_embed.device,
        )
        # Of one picture, however many objects: the model keeps the last that it made.
        place = model.vision_encoder.neck.position_encoding(
            image_embed[:1].shape, image_embed.device, image_embed.dtype
        )
        attended = model.memory_attention(
            current_vision_features=_flat(image_embed),
            current_vision_position_embeddings=_flat(place.expand_as(image_embed)),
            memory=torch.cat([*(memory.features for _, memory in near), pointers]),
            memory_posision_embeddings=torch.cat(
                [*(item.positions + times[offset - 1] for offset, item in near), pointer_positions]
            ),
            num_object_pointer_tokens=len(pointers),
        )
        return attended[0].transpose(1, 2).reshape(image_embed.shape)


def init_memory(model: Any, frame: Features, masks: torch.Tensor) -> Memory:
    """Remember the first frame. masks: (B, 1, S, S) of 0 and 1, taken as they are."""
    found = decode(model, frame, frame.image_embed, model.mask_downsample(masks))
    present = masks.flatten(1).any(1, keepdim=True)
    return encode_memory(model, frame, masks - 0.5, present, found.pointer, exact=True)


def decode(
    model: Any, frame: Features, image_embed: torch.Tensor, masks: torch.Tensor | None = None
) -> MaskDecoderOutput:
    """The mask decoder without points or boxes: the memory, or a mask, says which object."""
    count = len(image_embed)
    sparse, dense = model.prompt_encoder(
        input_points=image_embed.new_zeros(count, 1, 1, 2),
        input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=image_embed.device),
        input_boxes=None,
        input_masks=masks,
    )
    places = model.get_image_wide_positional_embeddings()
    logits, scores, tokens, seen = model.mask_decoder(
        image_embeddings=image_embed,
        image_positional_embeddings=places.repeat(count, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        high_resolution_features=[frame.high_res_0, frame.high_res_1],
    )
    best = scores[:, 0].argmax(-1)
    rows = torch.arange(count, device=best.device)
    return MaskDecoderOutput(
        logits=logits[:, 0],
        scores=scores[:, 0],
        seen=seen[:, 0],
        best=best,
        pointer=model.object_pointer_proj(tokens[rows, 0, best]),
    )


def encode_memory(
    model: Any,
    frame: Features,
    masks: torch.Tensor,
    present: torch.Tensor,
    pointer: torch.Tensor,
    *,
    exact: bool = False,
    apart: bool = False,
) -> Memory:
    """Keep a frame. masks: (B, 1, h, w) logits. present: (B, 1) whether the object is seen.

    exact: whether the masks were given, and are no estimates. apart: whether all objects are in the
    same picture, and shall not grow into each other.
    """
    dtype, side = frame.image_embed.dtype, model.image_size
    if masks.shape[-1] != side:
        masks = functional.interpolate(
            masks.float(), (side, side), mode="bilinear", align_corners=False
        )
    if apart:
        masks = separate(masks)
    features, positions = model._encode_new_memory(
        current_vision_feats=_flat(frame.image_embed),
        pred_masks_high_res=masks.to(dtype),
        object_score_logits=present.to(dtype)[..., None] - 0.5,
        is_mask_from_pts=exact,
    )
    pointer = torch.where(present, pointer, model.no_object_pointer)
    return Memory(features.to(dtype), positions, pointer)


def separate(masks: torch.Tensor) -> torch.Tensor:
    """Leave each pixel of B objects' masks, logits of (B, 1, h, w), to the highest alone."""
    return masks.masked_fill(masks < masks.amax(dim=0), _ABSENT)


def _flat(features: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) to (hw, B, C)."""
    return features.flatten(2).permute(2, 0, 1)
