"""SAM 2 and SAM 2.1 through transformers, from image or video checkpoints."""

from collections.abc import Callable, Sequence
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
from segzero.pretrained import load_model, load_pretrained
from segzero.segmentation.encoder_check import checked_encoder
from segzero.segmentation.image_encoder import Features
from segzero.segmentation.segmenter import (
    Prompt,
    ScoredMask,
    batches,
    best_hypotheses,
    labelled_points,
)
from segzero.segmentation.tracker import Tracker
from segzero.types import SegmentedObject

_FLOAT32 = frozenset(
    {
        "shared_image_embedding",
        "prompt_encoder",
        "mask_decoder",
        "no_memory_embedding",
        "mask_downsample",
        "object_pointer_proj",
        "no_object_pointer",
    }
)
"""What decodes masks stays exact: in bfloat16 a coordinate of 1000 px is off by up to 4 px."""

_ENCODED = 8
"""Images encoded at once; it bounds the memory for their activations."""


class TransformersSegmenter:
    """Implements `Segmenter`."""

    def __init__(self, model: Any, processor: Any, video: Sam2VideoModel | None) -> None:
        """Wrap loaded models.

        Args:
            model: a Sam2Model.
            processor: its Sam2Processor.
            video: a Sam2VideoModel over the same modules, or None: then nothing can be followed.
        """
        self._model = model
        self._processor = processor
        self._video = video
        # Made and checked at the first use.
        self._encoder: Callable[[torch.Tensor], Features] | None = None

    @classmethod
    def load(cls, folder: Path, *, dtype: str, device: torch.device) -> "TransformersSegmenter":
        """Load a checkpoint folder.

        Args:
            folder: as `weights.resolve_weights` returns it.
            dtype: of image encoder and video memory, a name such as `bfloat16`; prompt encoder and
                mask decoder are float32.
            device: where the model runs.

        Returns:
            The segmenter; it can follow objects if the checkpoint is a video model's.

        Raises:
            CheckpointError: the folder holds no usable SAM 2.
            DeviceOutOfMemory: the device has too little memory.
        """
        processor = load_pretrained(Sam2Processor, folder)
        kind = load_pretrained(AutoConfig, folder).model_type
        if kind == "sam2_video":
            video = _load(Sam2VideoModel, folder, dtype, device)
            return cls(as_image_model(video), processor, video)
        if kind != "sam2":
            raise CheckpointError(f"{folder} holds a model of type {kind}: a segmenter is a SAM 2")
        return cls(_load(Sam2Model, folder, dtype, device), processor, None)

    def encode(self, image: NDArray[np.uint8]) -> Features:
        """See `Segmenter.encode`."""
        with translate_oom(), torch.inference_mode(), cuda_side_stream(self._model.device):
            return self._encode(image)

    def encode_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        """See `Segmenter.encode_batch`; _ENCODED at a time."""
        found: list[Features] = []
        with translate_oom(), torch.inference_mode():
            for start in range(0, len(images), _ENCODED):
                pixels = [self._pixels(image) for image in images[start : start + _ENCODED]]
                found += self._encode_pixels(torch.cat(pixels)).split()
        return found

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[Prompt],
        encoded: Features | None = None,
    ) -> list[ScoredMask]:
        """See `Segmenter.segment`; of SAM 2's three hypotheses it returns `best_hypotheses`."""
        if not objects:
            return []
        masks: dict[int, ScoredMask] = {}
        encoded = encoded or self.encode(image)
        with translate_oom(), torch.inference_mode():
            for batch in batches(objects):
                scored = self._decode(encoded, [objects[index] for index in batch], image.shape[:2])
                masks.update(zip(batch, scored, strict=True))
        return [masks[index] for index in range(len(objects))]

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> Tracker:
        """See `Segmenter.track`. The masks are the prompt."""
        if self._video is None:
            raise CheckpointError(
                "this segmenter has no video memory: choose a profile whose segmenter is a video "
                "checkpoint (facebook/sam2.1-hiera-*)"
            )
        try:
            return Tracker(self._video, self._encode, image, objects)
        except AttributeError as error:
            raise CheckpointError(
                f"this version of transformers has another video memory of SAM 2 ({error}): "
                f"install one that segzero's dependencies allow"
            ) from error

    def _encode(self, image: NDArray[np.uint8]) -> Features:
        return self._encode_pixels(self._pixels(image))

    def _pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """The model's input for an image, (1, 3, S, S), on its device."""
        # A copy: torch takes no negative strides and warns about read-only arrays.
        copy = torch.from_numpy(np.array(image, order="C")).to(self._model.device)  # (H, W, 3)
        inputs = self._processor(images=copy.permute(2, 0, 1), return_tensors="pt")
        pixel_values: torch.Tensor = inputs["pixel_values"]
        return pixel_values.to(self._model.device)

    def _encode_pixels(self, pixel_values: torch.Tensor) -> Features:
        if self._encoder is None:
            self._encoder = checked_encoder(self._model)
        return self._encoder(pixel_values)

    def _decode(
        self,
        features: Features,
        objects: Sequence[Prompt],
        shape: tuple[int, int],
    ) -> list[ScoredMask]:
        """Masks of N objects, all with or all without a box, with equally many points, P."""
        boxes = [[o.box.x1, o.box.y1, o.box.x2, o.box.y2] for o in objects if o.box]
        points = [[[p.x, p.y] for p, _ in labelled_points(item)] for item in objects]
        labels = [[label for _, label in labelled_points(item)] for item in objects]
        # input_boxes: (1, N, 4); input_points: (1, N, P, 2); input_labels: (1, N, P)
        prompts = self._processor(
            original_sizes=[shape],
            input_boxes=[boxes] if boxes else None,
            input_points=[points] if points[0] else None,
            input_labels=[labels] if points[0] else None,
            return_tensors="pt",
        ).to(self._model.device)
        # The learnt embedding tells SAM 2 that there is no earlier frame.
        no_memory = self._model.no_memory_embedding.view(1, -1, 1, 1)
        levels = (features.high_res_0, features.high_res_1, features.image_embed)
        high_res_0, high_res_1, image_embed = (level.to(no_memory.dtype) for level in levels)
        output = self._model(
            image_embeddings=[high_res_0, high_res_1, image_embed + no_memory],
            input_boxes=prompts.get("input_boxes"),
            input_points=prompts.get("input_points"),
            input_labels=prompts.get("input_labels"),
            multimask_output=True,
        )
        ious, hypotheses = output.iou_scores[0], output.pred_masks[0]  # (N, M), (N, M, h, w)
        shown = (hypotheses > 0).cpu().numpy()
        best = best_hypotheses(ious.float().cpu().numpy(), shown, objects, shape)  # (N,)
        rows = torch.arange(len(objects))
        logits, scores = hypotheses[rows, best], ious[rows, best]  # (N, h, w), (N,)
        # (N, 1, h, w) -> (N, 1, H, W) -> (N, H, W)
        masks = self._processor.post_process_masks([logits[:, None]], [shape])[0][:, 0]
        return list(zip(masks.cpu().numpy(), scores.tolist(), strict=True))


def _load(loader: Any, folder: Path, dtype: str, device: torch.device) -> Any:
    model = load_model(loader, folder, dtype="float32", device=device)
    convert_encoders(model, getattr(torch, dtype))
    return model


def convert_encoders(model: Any, dtype: torch.dtype) -> None:
    """Convert image encoder and video memory; prompt encoder and mask decoder stay as they are.

    Args:
        model: a Sam2Model or Sam2VideoModel in float32, changed in place.
        dtype: such as bfloat16.
    """
    for name, module in model.named_children():
        if name not in _FLOAT32:
            module.to(dtype)
    model.mask_decoder.conv_s0.to(dtype)  # these make features
    model.mask_decoder.conv_s1.to(dtype)
    for name, parameter in model.named_parameters(recurse=False):
        if name not in _FLOAT32:
            parameter.data = parameter.data.to(dtype)


def as_image_model(video: Any) -> Sam2Model:
    """Make a Sam2Model over the modules of a Sam2VideoModel: the weights are in memory once."""
    with torch.device("meta"):
        model: Any = Sam2Model(video.config)
    for name, _ in [*model.named_children(), *model.named_parameters(recurse=False)]:
        setattr(model, name, getattr(video, name))
    image_model: Sam2Model = model.eval()
    return image_model
