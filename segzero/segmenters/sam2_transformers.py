"""SAM 2 and SAM 2.1 through transformers, from image or video checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForMaskGeneration, Sam2Processor

from segzero.devices import memory_errors
from segzero.segmenters import ScoredMask, batches
from segzero.types import GroundedObject
from segzero.weights import load_model, load_pretrained


class TransformersSegmenter:
    """Implements `Segmenter`."""

    def __init__(self, model: Any, processor: Any) -> None:
        """Wrap a loaded Sam2Model with its Sam2Processor."""
        self._model = model
        self._processor = processor

    @classmethod
    def load(cls, folder: Path, *, dtype: str, device: torch.device) -> "TransformersSegmenter":
        """Load a checkpoint folder that `weights.locate` returned; raises CheckpointError.

        The memory of a video checkpoint is left out.
        """
        processor = load_pretrained(Sam2Processor, folder)
        model = load_model(AutoModelForMaskGeneration, folder, dtype=dtype, device=device)
        return cls(model, processor)

    def segment(
        self, image: NDArray[np.uint8], objects: Sequence[GroundedObject]
    ) -> list[ScoredMask]:
        """See `Segmenter.segment`. Of SAM's three hypotheses the one with the best score counts."""
        masks: dict[int, ScoredMask] = {}
        with memory_errors(), torch.inference_mode():
            features = self._encode(image) if objects else []
            for batch in batches(objects):
                found = self._decode(features, [objects[index] for index in batch], image.shape[:2])
                masks.update(zip(batch, found, strict=True))
        return [masks[index] for index in range(len(objects))]

    def _encode(self, image: NDArray[np.uint8]) -> list[torch.Tensor]:
        # A copy: torch takes no negative strides and warns about read-only arrays.
        own = torch.from_numpy(np.array(image, order="C"))
        pixels = self._processor(images=own.permute(2, 0, 1), return_tensors="pt")
        pixels = pixels["pixel_values"].to(self._model.device, self._model.dtype)
        return self._model.get_image_embeddings(pixels)

    def _decode(
        self,
        features: list[torch.Tensor],
        objects: Sequence[GroundedObject],
        shape: tuple[int, int],
    ) -> list[ScoredMask]:
        """Masks of objects that have equally many points."""
        boxes = [[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in objects]
        points = [[[point.x, point.y] for point in item.points] for item in objects]
        prompts = self._processor(
            original_sizes=[shape], input_boxes=[boxes], input_points=[points], return_tensors="pt"
        ).to(self._model.device)
        found = self._model(
            image_embeddings=features,
            input_boxes=prompts["input_boxes"],
            input_points=prompts["input_points"],
            multimask_output=True,
        )
        scores, best = found.iou_scores[0].max(dim=-1)
        logits = found.pred_masks[0][torch.arange(len(objects)), best].float()
        masks = self._processor.post_process_masks([logits[:, None]], [shape])[0][:, 0]
        return list(zip(masks.cpu().numpy(), scores.float().tolist(), strict=True))
