"""Objects followed through an endless stream of frames by SAM 2's video memory."""

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

_PRIOR = 2.0
"""Logit that an object is still there if it was, and still away if it was not."""


class Tracker:
    """Follows objects from the frame that they were found in; for one thread at a time.

    It keeps what the model can still look at: the start, the last few frames' memories and the
    object pointers of some more. The frames may be any distance in time apart, as long as they are
    in order.
    """

    def __init__(
        self,
        model: Any,
        encode: Callable[[NDArray[np.uint8]], Features],
        image: NDArray[np.uint8],
        objects: Sequence[SegmentedObject],
    ) -> None:
        """Start on `image` from the objects' masks; see `SegZero.track`.

        model: a loaded Sam2VideoModel.
        encode: an image to its features, as for stills.
        """
        self._model = model
        self._encode: Callable[[NDArray[np.uint8]], Features] | None = encode
        self._shape = image.shape
        self._ids = [item.id for item in objects]
        with translate_oom(), torch.inference_mode():
            frame = encode(image).expand(len(objects))
            masks = torch.cat([_resize(item.mask, model.image_size) for item in objects])
            start = init_memory(model, frame, masks.to(frame.image_embed))
            self._memory: ObjectMemory | None = ObjectMemory(model, start)
        self._present = [True] * len(objects)

    def step(self, image: NDArray[np.uint8]) -> tuple[TrackedObject, ...]:
        """Find the objects again in the next frame: all those of the start, in its order.

        image: (H, W, 3) uint8 RGB of the first frame's size, else BadImage. Where two masks meet,
        a pixel belongs to the object with the higher logit. After DeviceOutOfMemory the next step
        works, as if this frame had not been there.
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
            found = decode(self._model, frame, self._memory.condition_on_memory(frame.image_embed))
            prior = [[_PRIOR if there else -_PRIOR] for there in self._present]
            seen = found.seen + found.seen.new_tensor(prior)
            present = seen > 0
            logits = found.masks(present)
            kept = encode_memory(self._model, frame, logits, present, found.pointer, apart=True)
            scores = seen.flatten().float().sigmoid().tolist()
            low = logits[:, 0].float().cpu().numpy()
        # Only now, so that a step that failed leaves no trace.
        self._memory.add(kept)
        self._present = present.flatten().tolist()
        masks = _draw(low, self._present, (width, height))
        return tuple(
            TrackedObject(id=number, box=bounding_box(mask), mask=mask, score=score)
            for number, mask, score in zip(self._ids, masks, scores, strict=True)
        )

    def close(self) -> None:
        """Free the memory of this stream; a later step is an error. Closing twice is fine."""
        self._model = self._encode = self._memory = None


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The box around a mask in pixel edges; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def _draw(
    logits: NDArray[np.float32], seen: Sequence[bool], size: tuple[int, int]
) -> list[NDArray[np.bool_]]:
    """Masks of the image's size (width, height) from (N, h, w) logits; empty where not seen."""
    # On a CPU ten times as fast as PyTorch's, with the same result.
    large = [
        cv2.resize(low, size) if is_seen else None
        for low, is_seen in zip(logits, seen, strict=True)
    ]
    top = np.zeros(size[::-1], np.float32)
    for item in large:
        if item is not None:
            np.maximum(top, item, out=top)
    return [
        np.zeros(top.shape, bool) if item is None else (item > 0) & (item == top) for item in large
    ]


def _resize(mask: NDArray[np.bool_], side: int) -> torch.Tensor:
    """A mask at the model's resolution: (1, 1, side, side) of 0 and 1."""
    # A copy in C order: torch takes no negative strides and warns about read-only arrays.
    large = torch.from_numpy(mask.astype(np.float32, order="C"))[None, None]
    small = functional.interpolate(large, (side, side), mode="bilinear", antialias=True)
    return (small >= 0.5).float()


def _describe(image: Any) -> str:
    if not isinstance(image, np.ndarray):
        return type(image).__name__
    return f"{image.dtype} of shape {image.shape}"
