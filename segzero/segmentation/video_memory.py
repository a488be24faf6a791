"""SAM 2's video memory for B objects together: condition on it, decode, encode into it.

Source: SAM 2 (arXiv 2408.00714), section 4, "Memory attention" to "Memory bank". Names are those of
the authors' code. `model` is a Sam2VideoModel throughout. Its own session takes one object at a
time, without gradients; here B objects share a step, at inference and in training.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from segzero.segmentation.image_encoder import Features

_NO_OBJ_SCORE = -1024.0
"""Logit of pixels of an absent object, and of pixels that belong to another object."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskDecoderOutput:
    """The mask decoder's output for B objects in one frame.

    Attributes:
        mask_logits: (B, M, h, w), the masks of all M hypotheses.
        ious: (B, M), their estimated IoUs.
        object_score_logits: (B, 1), positive where the object is in the frame.
        best: (B,) int64, the hypothesis with the highest estimated IoU.
        object_pointer: (B, C), of the best hypothesis.
    """

    mask_logits: torch.Tensor
    ious: torch.Tensor
    object_score_logits: torch.Tensor
    best: torch.Tensor
    object_pointer: torch.Tensor

    def best_masks(self, present: torch.Tensor) -> torch.Tensor:
        """The masks of the best hypotheses.

        Args:
            present: (B, 1) bool, whether the object is in the frame.

        Returns:
            (B, 1, h, w) logits; -1024 for objects that are absent.
        """
        rows = torch.arange(len(self.best), device=self.best.device)
        logits = self.mask_logits[rows, self.best][:, None]  # (B, M, h, w) -> (B, 1, h, w)
        return logits.masked_fill(~present[..., None, None], _NO_OBJ_SCORE)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The memory of one frame for B objects.

    Attributes:
        maskmem_features: (hw, B, m), the memory encoder's spatial features.
        maskmem_pos_enc: (hw, B, m), their positional encoding.
        object_pointer: (B, C).
    """

    maskmem_features: torch.Tensor
    maskmem_pos_enc: torch.Tensor
    object_pointer: torch.Tensor

    def select(self, index: torch.Tensor) -> "Memory":
        """The memory of some of the objects, by an int64 index."""
        return Memory(
            self.maskmem_features[:, index],
            self.maskmem_pos_enc[:, index],
            self.object_pointer[index],
        )


class ObjectMemory:
    """The memory bank of B objects: the first frame, the last few, and pointers of some more.

    The model attends to nothing else, so the bank has a fixed size.
    """

    def __init__(self, model: Any, first: Memory) -> None:
        self._model = model
        self._first = first
        self._recent: deque[Memory] = deque(maxlen=model.config.num_maskmem - 1)
        pointers = model.config.max_object_pointers_in_encoder - 1
        self._pointers: deque[torch.Tensor] = deque(maxlen=pointers)  # the newest first
        self._frames = 0

    def add(self, memory: Memory) -> None:
        """Append the next frame; the oldest one but the first is dropped."""
        self._recent.append(memory)
        self._pointers.appendleft(memory.object_pointer)
        self._frames += 1

    @property
    def depth(self) -> tuple[int, int]:
        """Frames and object pointers in the bank; banks of equal depth can share a step."""
        return len(self._recent), len(self._pointers)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these of the B objects, in this order."""
        index = torch.tensor(rows, device=self._first.object_pointer.device)
        self._first = self._first.select(index)
        for position, memory in enumerate(self._recent):
            self._recent[position] = memory.select(index)
        for position, pointer in enumerate(self._pointers):
            self._pointers[position] = pointer[index]

    def condition_on_memory(self, image_embed: torch.Tensor) -> torch.Tensor:
        """Memory attention for this bank alone; see `condition_on_memories`."""
        return condition_on_memories(self._model, [self], image_embed)

    def tokens(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """The keys and values of the memory attention.

        Returns:
            memory: (frames * hw + T * C/m, B, m), spatial features, then object pointers.
            pos_enc: their positional encoding, of the same shape.
            pointers: T * C/m, the number of pointer tokens.
        """
        model, count = self._model, len(self._first.object_pointer)
        # Frames back in time, 0 for the first frame. Index -1 gives it the last temporal encoding.
        bank = [(0, self._first)]
        bank += [(len(self._recent) - k, memory) for k, memory in enumerate(self._recent)]
        temporal = model.memory_temporal_positional_encoding
        # T object pointers are split into T * C/m tokens of the memory's width: (T * C/m, B, m)
        pointers, pointer_pos_enc = model._process_object_pointers(
            [self._frames + 1, *range(1, len(self._pointers) + 1)],
            [self._first.object_pointer, *self._pointers],
            model.config.max_object_pointers_in_encoder,
            count,
            model.hidden_dim,
            self._first.object_pointer.device,
        )
        spatial_pos_enc = [memory.maskmem_pos_enc + temporal[back - 1] for back, memory in bank]
        return (
            torch.cat([*(memory.maskmem_features for _, memory in bank), pointers]),
            torch.cat([*spatial_pos_enc, pointer_pos_enc]),
            len(pointers),
        )


def condition_on_memories(
    model: Any, banks: Sequence[ObjectMemory], image_embed: torch.Tensor
) -> torch.Tensor:
    """Memory attention: condition the next frame's features on memory banks.

    Args:
        model: a Sam2VideoModel.
        banks: of equal depth, with B objects together.
        image_embed: (B, C, h, w), the frame's coarsest features.

    Returns:
        (B, C, h, w).
    """
    memories, pos_encs, pointers = zip(*(bank.tokens() for bank in banks), strict=True)
    # For one image whatever B is: the model caches the last encoding that it made.
    pos_enc = model.vision_encoder.neck.position_encoding(
        image_embed[:1].shape, image_embed.device, image_embed.dtype
    )  # (1, C, h, w)
    attended: torch.Tensor = model.memory_attention(
        current_vision_features=_to_tokens(image_embed),  # (hw, B, C)
        current_vision_position_embeddings=_to_tokens(pos_enc.expand_as(image_embed)),
        memory=torch.cat(memories, dim=1),  # (frames * hw + pointer tokens, B, m)
        memory_posision_embeddings=torch.cat(pos_encs, dim=1),
        num_object_pointer_tokens=pointers[0],
    )  # (1, B, hw, C)
    # (1, B, hw, C) -> (B, C, h, w)
    return attended[0].transpose(1, 2).reshape(image_embed.shape)


def init_memory(model: Any, frame: Features, masks: torch.Tensor) -> Memory:
    """Encode the first frame, whose masks are the prompt.

    Args:
        model: a Sam2VideoModel.
        frame: features of the frame for B objects.
        masks: (B, 1, S, S) of 0 and 1 at the model's image size; taken as they are.

    Returns:
        The memory of the first frame.
    """
    # (B, 1, S, S) -> (B, 1, S/4, S/4), the mask prompt's resolution
    mask_prompt = model.mask_downsample(masks.to(model.no_memory_embedding.dtype))
    output = decode(model, frame, frame.image_embed, mask_prompt)
    present = masks.flatten(1).any(1, keepdim=True)  # (B, 1)
    return encode_memory(
        model, frame, masks - 0.5, present, output.object_pointer, is_mask_prompt=True
    )


def decode(
    model: Any, frame: Features, image_embed: torch.Tensor, masks: torch.Tensor | None = None
) -> MaskDecoderOutput:
    """Run the mask decoder without points or boxes.

    Args:
        model: a Sam2VideoModel.
        frame: features of the frame for B objects; only the two finer levels are read.
        image_embed: (B, C, h, w), the coarsest features, conditioned on memory or as encoded.
        masks: (B, 1, 4h, 4w) mask prompts, or None if the memory says which object is meant.

    Returns:
        Masks, scores and pointers of the B objects, in the dtype of the mask decoder.
    """
    dtype, count = model.no_memory_embedding.dtype, len(image_embed)
    # sparse: (B, 1, 2, C), padding points with the label -1; dense: (B, C, h, w)
    sparse, dense = model.prompt_encoder(
        input_points=image_embed.new_zeros(count, 1, 1, 2, dtype=dtype),
        input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=image_embed.device),
        input_boxes=None,
        input_masks=masks,
    )
    image_pe = model.get_image_wide_positional_embeddings()  # (1, C, h, w)
    # Each with an axis for the one prompt of each object: (B, 1, M, 4h, 4w), (B, 1, M),
    # (B, 1, M, C), (B, 1, 1)
    mask_logits, ious, mask_tokens, object_score_logits = model.mask_decoder(
        image_embeddings=image_embed.to(dtype),
        image_positional_embeddings=image_pe.repeat(count, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        high_resolution_features=[
            level.to(dtype) for level in (frame.high_res_0, frame.high_res_1)
        ],
    )
    best = ious[:, 0].argmax(-1)  # (B,)
    rows = torch.arange(count, device=best.device)
    return MaskDecoderOutput(
        mask_logits=mask_logits[:, 0],
        ious=ious[:, 0],
        object_score_logits=object_score_logits[:, 0],
        best=best,
        object_pointer=model.object_pointer_proj(mask_tokens[rows, 0, best]),  # (B, C)
    )


def encode_memory(
    model: Any,
    frame: Features,
    masks: torch.Tensor,
    present: torch.Tensor,
    object_pointer: torch.Tensor,
    *,
    is_mask_prompt: bool = False,
    non_overlapping: bool = False,
) -> Memory:
    """Run the memory encoder on a frame and its masks.

    Args:
        model: a Sam2VideoModel.
        frame: features of the frame for B objects.
        masks: (B, 1, h, w) logits, of any resolution.
        present: (B, 1) bool, whether the object is in the frame.
        object_pointer: (B, C), replaced by the model's "no object" pointer where absent.
        is_mask_prompt: whether the masks are prompts, which are binarised, and not predictions.
        non_overlapping: whether the B objects share one frame; then each pixel is of one object.

    Returns:
        The memory of the frame.
    """
    dtype, side = frame.image_embed.dtype, model.image_size
    if masks.shape[-1] != side:
        masks = functional.interpolate(
            masks.float(), (side, side), mode="bilinear", align_corners=False
        )  # (B, 1, S, S)
    if non_overlapping:
        masks = apply_non_overlapping_constraints(masks)
    features, pos_enc = model._encode_new_memory(
        current_vision_feats=_to_tokens(frame.image_embed),  # (hw, B, C)
        pred_masks_high_res=masks.to(dtype),
        object_score_logits=present.to(dtype)[..., None] - 0.5,  # (B, 1, 1), only its sign counts
        is_mask_from_pts=is_mask_prompt,
    )  # (hw, B, m) both
    pointer = torch.where(present, object_pointer, model.no_object_pointer)
    return Memory(features.to(dtype), pos_enc, pointer.to(dtype))


def apply_non_overlapping_constraints(masks: torch.Tensor) -> torch.Tensor:
    """Leave each pixel to the object with the highest logit.

    Args:
        masks: (B, 1, h, w) logits of B objects in one frame.

    Returns:
        (B, 1, h, w) logits; -1024 where another object's is higher.
    """
    return masks.masked_fill(masks < masks.amax(dim=0), _NO_OBJ_SCORE)


def _to_tokens(features: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (hw, B, C)."""
    return features.flatten(2).permute(2, 0, 1)
