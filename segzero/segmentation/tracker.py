"""Follow objects through an endless stream of frames with SAM 2's video memory."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from segzero.devices import translate_oom
from segzero.errors import BadImage
from segzero.segmentation.image_encoder import Features
from segzero.segmentation.video_memory import ObjectMemory, decode, encode_memory, init_memory
from segzero.types import Box, SegmentedObject, TrackedObject

_PRESENCE_HYSTERESIS = 2.0
"""Presence changes only when the object score logit passes this, up or down."""


class Tracker:
    """Follows objects from the frame that they were found in; for one thread at a time.

    It keeps what the model attends to: the first frame, the memories of the last few and the object
    pointers of some more. Frames must be in order; the times between them may differ.
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
        self._ids = [item.id for item in objects]
        with translate_oom(), torch.inference_mode():
            frame = encode(image).expand(len(objects))
            masks = torch.cat([mask_prompt(item.mask, model.image_size) for item in objects])
            first = init_memory(model, frame, masks.to(frame.image_embed))  # masks: (B, 1, S, S)
            self._memory: ObjectMemory | None = ObjectMemory(model, first)
        self._present = [True] * len(objects)

    def step(self, image: NDArray[np.uint8]) -> tuple[TrackedObject, ...]:
        """Find the objects again in the next frame.

        Where two masks meet, a pixel belongs to the object with the higher logit. After an error
        the next step works, as if this frame had not been there.

        Args:
            image: (H, W, 3) uint8 RGB of the first frame's size.

        Returns:
            All objects of the start, in its order; absent ones have no box and an empty mask.

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
        if self._memory is None or self._encode is None:
            raise RuntimeError("this tracker is closed; start another one")
        with translate_oom(), torch.inference_mode():
            frame = self._encode(image).expand(len(self._ids))
            output = decode(self._model, frame, self._memory.condition_on_memory(frame.image_embed))
            bias = [
                [_PRESENCE_HYSTERESIS if present else -_PRESENCE_HYSTERESIS]
                for present in self._present
            ]
            score_logits = output.object_score_logits
            score_logits = score_logits + score_logits.new_tensor(bias)  # (B, 1)
            present = score_logits > 0
            mask_logits = output.best_masks(present)  # (B, 1, h, w)
            memory = encode_memory(
                self._model,
                frame,
                mask_logits,
                present,
                output.object_pointer,
                non_overlapping=True,
            )
            scores = score_logits.flatten().float().sigmoid().tolist()
            low_res = mask_logits[:, 0].float().cpu().numpy()  # (B, h, w)
        # Only now, so that a failed step leaves no trace.
        self._memory.add(memory)
        self._present = present.flatten().tolist()
        masks = upscale(low_res, self._present, (width, height))
        return tuple(
            TrackedObject(id=number, box=bounding_box(mask), mask=mask, score=score)
            for number, mask, score in zip(self._ids, masks, scores, strict=True)
        )

    def close(self) -> None:
        """Free the memory of this stream; a later step is an error. Closing twice is fine."""
        self._model = self._encode = self._memory = None


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
