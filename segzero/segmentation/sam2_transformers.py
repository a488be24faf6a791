"""SAM 2 and SAM 2.1 through transformers, from image or video checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    Sam2Model,
    Sam2Processor,
    Sam2VideoModel,
)

from segzero.devices import cuda_side_stream, translate_oom
from segzero.errors import CheckpointError
from segzero.segmentation.image_encoder import Features, ImageEncoder
from segzero.segmentation.segmenter import ScoredMask, batches
from segzero.segmentation.tracker import Tracker
from segzero.types import GroundedObject, SegmentedObject
from segzero.weights import load_model, load_pretrained


class TransformersSegmenter:
    """Implements `Segmenter`."""

    def __init__(self, model: Any, processor: Any, video: Sam2VideoModel | None) -> None:
        """Wrap a loaded Sam2Model and its processor; `video` has the same modules and a memory."""
        self._model = model
        self._processor = processor
        self._video = video
        self._encoder = ImageEncoder(model)

    @classmethod
    def load(cls, folder: Path, *, dtype: str, device: torch.device) -> "TransformersSegmenter":
        """Load a checkpoint folder that `weights.locate` returned; raises CheckpointError."""
        processor = load_pretrained(Sam2Processor, folder)
        kind = load_pretrained(AutoConfig, folder).model_type
        if kind == "sam2_video":
            video = load_model(Sam2VideoModel, folder, dtype=dtype, device=device)
            return cls(as_image_model(video), processor, video)
        if kind != "sam2":
            raise CheckpointError(f"{folder} holds a model of type {kind}: a segmenter is a SAM 2")
        return cls(load_model(Sam2Model, folder, dtype=dtype, device=device), processor, None)

    def encode(self, image: NDArray[np.uint8]) -> Features:
        """See `Segmenter.encode`."""
        with translate_oom(), torch.inference_mode(), cuda_side_stream(self._model.device):
            return self._encode(image)

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[GroundedObject],
        encoded: Features | None = None,
    ) -> list[ScoredMask]:
        """See `Segmenter.segment`. Of SAM's three hypotheses the one with the best score counts."""
        if not objects:
            return []
        masks: dict[int, ScoredMask] = {}
        encoded = encoded or self.encode(image)
        with translate_oom(), torch.inference_mode():
            for batch in batches(objects):
                found = self._decode(encoded, [objects[index] for index in batch], image.shape[:2])
                masks.update(zip(batch, found, strict=True))
        return [masks[index] for index in range(len(objects))]

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> Tracker:
        """See `Segmenter.track`. The masks are the prompt: following starts with the answer."""
        if self._video is None:
            raise CheckpointError(
                "this segmenter has no video memory: choose a profile whose segmenter is a video "
                "checkpoint (facebook/sam2.1-hiera-*)"
            )
        return Tracker(self._video, self._encode, image, objects)

    def _encode(self, image: NDArray[np.uint8]) -> Features:
        # A copy: torch takes no negative strides and warns about read-only arrays.
        own = torch.from_numpy(np.array(image, order="C")).to(self._model.device)
        pixels = self._processor(images=own.permute(2, 0, 1), return_tensors="pt")
        return self._encoder(pixels["pixel_values"].to(self._model.device, self._model.dtype))

    def _decode(
        self,
        features: Features,
        objects: Sequence[GroundedObject],
        shape: tuple[int, int],
    ) -> list[ScoredMask]:
        """Masks of objects that have equally many points."""
        boxes = [[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in objects]
        points = [[[point.x, point.y] for point in item.points] for item in objects]
        prompts = self._processor(
            original_sizes=[shape], input_boxes=[boxes], input_points=[points], return_tensors="pt"
        ).to(self._model.device)
        # SAM 2 is told that this picture has no past.
        image_embed = features.image_embed + self._model.no_memory_embedding.view(1, -1, 1, 1)
        found = self._model(
            image_embeddings=[features.high_res_0, features.high_res_1, image_embed],
            input_boxes=prompts["input_boxes"],
            input_points=prompts["input_points"],
            multimask_output=True,
        )
        scores, best = found.iou_scores[0].max(dim=-1)
        logits = found.pred_masks[0][torch.arange(len(objects)), best].float()
        masks = self._processor.post_process_masks([logits[:, None]], [shape])[0][:, 0]
        return list(zip(masks.cpu().numpy(), scores.float().tolist(), strict=True))


def as_image_model(video: Any) -> Sam2Model:
    """The image model over the very same modules: weights lie in memory once."""
    with torch.device("meta"):
        model = Sam2Model(video.config).eval()
    for name, _ in [*model.named_children(), *model.named_parameters(recurse=False)]:
        setattr(model, name, getattr(video, name))
    return model
