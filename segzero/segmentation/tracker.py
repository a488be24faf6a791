"""Follow objects through an endless stream of frames with SAM 2's video memory."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from segzero.devices import translate_oom
from segzero.errors import BadImage
from segzero.segmentation.image_encoder import Features
from segzero.segmentation.presence import presence_bias
from segzero.segmentation.video_memory import (
    Memory,
    ObjectMemory,
    condition_on_memories,
    decode,
    encode_memory,
    init_memory,
)
from segzero.types import Box, SegmentedObject, TrackedObject


@dataclass(slots=True, eq=False)
class _Group:
    """Objects that were found in one frame.

    Attributes:
        ids: B ids.
        memory: of the B objects.
        present: whether each was in the last frame.
        shown: (B, h, w) bool, their masks in the last frame; None before the first step.
    """

    ids: list[int]
    memory: ObjectMemory
    present: list[bool]
    shown: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What a group of B objects becomes with the next frame.

    Attributes:
        group: the group.
        memory: of the frame.
        present: whether each object is in it.
        shown: (B, h, w) bool, the masks.
        scores: in [0, 1].
        mask_logits: (B, h, w) on the CPU, -1024 for absent objects.
    """

    group: _Group
    memory: Memory
    present: list[bool]
    shown: torch.Tensor
    scores: list[float]
    mask_logits: NDArray[np.float32]


class Tracker:
    """Follows objects from the frame that they were found in; for one thread at a time.

    It keeps what the model attends to: the first frame, the memories of the last few and the object
    pointers of some more. Frames must be in order; the times between them may differ. Objects that
    were found in other frames can join.
    """

    def __init__(
        self,
        model: Any,
        encode: Callable[[NDArray[np.uint8]], Features],
        image: NDArray[np.uint8],
        objects: Sequence[SegmentedObject],
    ) -> None:
        """Start on `image` from the objects' masks; see `SegZero.track`.

        Args:
            model: a loaded Sam2VideoModel.
            encode: computes the features of an image, as for single images.
            image: (H, W, 3) uint8 RGB, the frame that the objects were found in.
            objects: B objects, one at least.

        Raises:
            DeviceOutOfMemory: the device has too little memory.
        """
        self._model = model
        self._encode: Callable[[NDArray[np.uint8]], Features] | None = encode
        self._shape = image.shape
        with translate_oom(), torch.inference_mode():
            frame = encode(image).expand(len(objects))
            masks = torch.cat([mask_prompt(item.mask, model.image_size) for item in objects])
            first = init_memory(model, frame, masks.to(frame.image_embed))  # masks: (B, 1, S, S)
        ids = [item.id for item in objects]
        self._groups = [_Group(ids, ObjectMemory(model, first), [True] * len(ids))]

    @property
    def ids(self) -> list[int]:
        """Ids of the followed objects, in the order of the results."""
        return [number for group in self._groups for number in group.ids]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3), the shape of the frames that it follows."""
        return self._shape

    def join(self, other: "Tracker") -> None:
        """Take over the objects of another tracker, and close that one.

        Args:
            other: Follows frames of the same size, by the same segmenter, other ids, and stands at
                a frame not much older or newer.

        Raises:
            ValueError: the frames' sizes differ, or an id is in both.
        """
        if other.shape != self._shape or set(other.ids) & set(self.ids):
            raise ValueError("trackers join only with frames of one size and without equal ids")
        self._groups += other._groups
        other._groups = []
        other.close()

    def remove(self, ids: Collection[int]) -> None:
        """Follow the objects with these ids no longer; unknown ids change nothing."""
        for group in self._groups:
            rows = [row for row, number in enumerate(group.ids) if number not in ids]
            if 0 < len(rows) < len(group.ids):
                with torch.inference_mode():
                    group.memory.select(rows)
                group.present = [group.present[row] for row in rows]
                group.shown = None if group.shown is None else group.shown[rows]
            group.ids = [group.ids[row] for row in rows]
        self._groups = [group for group in self._groups if group.ids]

    def step(self, image: NDArray[np.uint8]) -> tuple[TrackedObject, ...]:
        """Find the objects again in the next frame.

        Where two masks of objects that were found together meet, a pixel belongs to the object with
        the higher logit. After an error the next step works, as if this frame had not been there.

        Args:
            image: (H, W, 3) uint8 RGB of the first frame's size.

        Returns:
            All objects, in the order of `ids`; absent ones have no box and an empty mask.

        Raises:
            BadImage: the frame has another size or type than the first.
            DeviceOutOfMemory: the device has too little memory.
            RuntimeError: the tracker is closed.
        """
        same = isinstance(image, np.ndarray) and image.shape == self._shape
        height, width = self._shape[:2]
        if not same or image.dtype != np.uint8:
            raise BadImage(
                f"this tracker follows uint8 RGB frames of {width}x{height} pixels, not "
                f"{_describe(image)}: ask again, or start another tracker, for other frames"
            )
        if self._encode is None:
            raise RuntimeError("this tracker is closed; start another one")
        with translate_oom(), torch.inference_mode():
            features = self._encode(image)
            # Groups of equal depth share a step: after some frames, all of them.
            alike: dict[tuple[int, int], list[_Group]] = defaultdict(list)
            for group in self._groups:
                alike[group.memory.depth].append(group)
            steps = [
                step for groups in alike.values() for step in self._step_groups(groups, features)
            ]
        # Only now, so that a failed step leaves no trace.
        found: dict[int, TrackedObject] = {}
        for step in steps:
            group = step.group
            group.memory.add(step.memory)
            group.present, group.shown = step.present, step.shown
            masks = upscale(step.mask_logits, step.present, (width, height))
            for number, mask, score in zip(group.ids, masks, step.scores, strict=True):
                found[number] = TrackedObject(number, bounding_box(mask), mask, score)
        return tuple(found[number] for number in self.ids)

    def close(self) -> None:
        """Free the memory of this stream; a later step is an error. Closing twice is fine."""
        self._model = self._encode = None
        self._groups = []

    def _step_groups(self, groups: Sequence[_Group], features: Features) -> list[_Step]:
        """Decode and remember one frame for groups of equal depth, B objects together."""
        model, sizes = self._model, [len(group.ids) for group in groups]
        frame = features.expand(sum(sizes))
        banks = [group.memory for group in groups]
        output = decode(model, frame, condition_on_memories(model, banks, frame.image_embed))
        drawn = output.best_masks(torch.ones_like(output.object_score_logits, dtype=torch.bool))
        shown = (drawn > 0)[:, 0]  # (B, h, w)
        parts = torch.split(shown, sizes)
        bias = [
            presence_bias(group.present, group.shown, part)
            for group, part in zip(groups, parts, strict=True)
        ]
        score_logits = output.object_score_logits + torch.cat(bias)  # (B, 1)
        mask_logits = output.best_masks(score_logits > 0)  # (B, 1, h, w)
        steps: list[_Step] = []
        for group, part, masks, scores, pointers in zip(
            groups,
            parts,
            torch.split(mask_logits, sizes),
            torch.split(score_logits, sizes),
            torch.split(output.object_pointer, sizes),
            strict=True,
        ):
            present = scores > 0
            memory = encode_memory(
                model,
                features.expand(len(group.ids)),
                masks,
                present,
                pointers,
                non_overlapping=True,
            )
            steps.append(
                _Step(
                    group,
                    memory,
                    present.flatten().tolist(),
                    part,
                    scores.flatten().float().sigmoid().tolist(),
                    masks[:, 0].float().cpu().numpy(),  # (B, h, w)
                )
            )
        return steps


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The box around an (H, W) mask, at the outer edges of its pixels; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def upscale(
    mask_logits: NDArray[np.float32], present: Sequence[bool], size: tuple[int, int]
) -> list[NDArray[np.bool_]]:
    """Upscale the masks of B objects to the image, so that they don't overlap.

    Args:
        mask_logits: (B, h, w).
        present: whether each object is in the frame.
        size: (width, height) of the image.

    Returns:
        B masks, (height, width) bool each; empty for absent objects.
    """
    # Bilinear. On a CPU it is ten times as fast as PyTorch's, with the same result.
    upscaled = [
        cv2.resize(logits, size) if is_present else None
        for logits, is_present in zip(mask_logits, present, strict=True)
    ]
    highest = np.zeros(size[::-1], np.float32)
    for logits in upscaled:
        if logits is not None:
            np.maximum(highest, logits, out=highest)
    return [
        np.zeros(highest.shape, bool) if logits is None else (logits > 0) & (logits == highest)
        for logits in upscaled
    ]


def mask_prompt(mask: NDArray[np.bool_], side: int) -> torch.Tensor:
    """Resize a mask to the model's image size.

    Args:
        mask: (H, W) bool.
        side: S, the side of the model's image.

    Returns:
        (1, 1, S, S) float32 of 0 and 1.
    """
    # A copy in C order: torch takes no negative strides and warns about read-only arrays.
    full = torch.from_numpy(mask.astype(np.float32, order="C"))[None, None]  # (1, 1, H, W)
    resized = functional.interpolate(full, (side, side), mode="bilinear", antialias=True)
    return (resized >= 0.5).float()


def _describe(image: Any) -> str:
    if not isinstance(image, np.ndarray):
        return type(image).__name__
    return f"{image.dtype} of shape {image.shape}"
