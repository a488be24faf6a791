"""Objects followed through an endless stream of frames by SAM 2's video memory."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import Sam2VideoInferenceSession

from segzero.devices import memory_errors
from segzero.errors import BadImage
from segzero.types import Box, SegmentedObject, TrackedObject

# What only the step that wrote an output needs of it.
_SPENT = ("pred_masks", "high_res_masks")
_MEMORY = ("maskmem_features", "maskmem_pos_enc")
_START = 0


class Tracker:
    """Follows objects from the frame that they were found in; for one thread at a time.

    It keeps what the model can still look at: the start, the last few frames' memories and the
    object pointers of some more. The frames may be any distance in time apart, as long as they are
    in order.
    """

    def __init__(
        self,
        model: Any,
        prepare: Callable[[NDArray[np.uint8]], torch.Tensor],
        image: NDArray[np.uint8],
        objects: Sequence[SegmentedObject],
    ) -> None:
        """Start on `image` from the objects' masks; see `SegZero.track`.

        model: a loaded Sam2VideoModel.
        prepare: image to the model's (1, 3, S, S) pixel values, as for stills.
        """
        self._model = model
        self._prepare: Callable[[NDArray[np.uint8]], torch.Tensor] | None = prepare
        self._shape = image.shape
        self._ids = [item.id for item in objects]
        self._next = _START
        self._session = Sam2VideoInferenceSession(
            inference_device=model.device,
            inference_state_device=model.device,
            video_storage_device=model.device,
            dtype=model.dtype,
        )
        with memory_errors(), torch.inference_mode():
            for item in objects:
                index = self._session.obj_id_to_idx(item.id)
                self._session.add_mask_inputs(index, _START, _resize(item.mask, model.image_size))
            self._session.obj_with_new_inputs = list(self._ids)
            self._infer(image)

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
        with memory_errors(), torch.inference_mode():
            found = self._infer(image)
            seen = found.object_score_logits.flatten().float()
            scores = seen.sigmoid().tolist()
            logits = found.pred_masks[:, 0].float().cpu().numpy()
        masks = _draw(logits, (seen > 0).tolist(), (width, height))
        return tuple(
            TrackedObject(id=number, box=bounding_box(mask), mask=mask, score=score)
            for number, mask, score in zip(self._ids, masks, scores, strict=True)
        )

    def close(self) -> None:
        """Free the memory of this stream; a later step is an error. Closing twice is fine."""
        self._model = self._prepare = None
        self._session.reset_inference_session()

    def _infer(self, image: NDArray[np.uint8]) -> Any:
        if self._model is None or self._prepare is None:
            raise RuntimeError("this tracker is closed; start another one")
        session = self._session
        try:
            found = self._model(session, frame_idx=self._next, frame=self._prepare(image))
        finally:
            # Also after a failure: the next frame gets the same number.
            session.processed_frames = None
            session.cache.clear_all()
        self._forget()
        self._next += 1
        return found

    def _forget(self) -> None:
        """Drop what no later step looks at."""
        pointers = self._model.config.max_object_pointers_in_encoder
        memories = self._model.config.num_maskmem
        session = self._session
        for index, outputs in session.output_dict_per_obj.items():
            session.mask_inputs_per_obj[index].clear()
            session.frames_tracked_per_obj[index].clear()
            recent = outputs["non_cond_frame_outputs"]
            recent.pop(self._next - pointers + 1, None)
            _drop(recent.get(self._next - memories + 1, {}), _MEMORY)
            for frames in outputs.values():
                if now := frames.get(self._next):
                    _drop(now, _SPENT)
                    # transformers leaves an axis too many, over which it trips in models whose
                    # pointers are as narrow as their memories.
                    now["object_pointer"] = now["object_pointer"].view(1, -1)


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


def _drop(output: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        output.pop(name, None)


def _describe(image: Any) -> str:
    if not isinstance(image, np.ndarray):
        return type(image).__name__
    return f"{image.dtype} of shape {image.shape}"
