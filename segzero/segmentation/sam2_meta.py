"""SAM 2 and SAM 2.1 through Meta's own `sam2` package, from the same checkpoint folders.

Meta publishes its weights as pickles, which this project doesn't load. The package's modules are
instead built from config.json and filled from the safetensors of the transformers checkpoint.
"""

import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoConfig

from segzero.devices import cuda_side_stream, translate_oom
from segzero.errors import CheckpointError
from segzero.pretrained import load_pretrained, require_finite
from segzero.segmentation.segmenter import (
    Prompt,
    ScoredMask,
    batches,
    best_hypotheses,
    labelled_points,
)
from segzero.types import SegmentedObject

# transformers' names → Meta's, applied in order; the layers of heads are numbered before, by _HEAD.
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
        (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"^mask_decoder\.", "sam_mask_decoder."),
        (r"^prompt_encoder\.", "sam_prompt_encoder."),
        (
            r"\.shared_embedding\.positional_embedding$",
            ".pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
        (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
        (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
        (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
        (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
        (r"\.upscale_conv1\.", ".output_upscaling.0."),
        (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
        (r"\.upscale_conv2\.", ".output_upscaling.3."),
        (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
        (r"\.layer_norm(\d)\.", r".norm\1."),
        (r"\.o_proj\.", ".out_proj."),
        (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
        (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
        (r"^no_memory_embedding$", "no_mem_embed"),
    )
)
_HEAD = re.compile(
    r"(.*(?:iou_prediction_head|pred_obj_score_head|output_hypernetworks_mlps\.\d+))"
    r"\.(proj_in|layers\.0|proj_out)\.(.*)"
)
_HEAD_LAYERS = {"proj_in": 0, "layers.0": 1, "proj_out": 2}
_POSITIONS = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)
# Of the video memory, which isn't built here.
_UNUSED = {"maskmem_tpos_enc", "no_mem_pos_enc"}


class MetaSegmenter:
    """Implements `Segmenter`."""

    def __init__(self, predictor: Any, dtype: torch.dtype) -> None:
        """Wrap a predictor.

        Args:
            predictor: a SAM2ImagePredictor.
            dtype: in which it encodes images, by autocast; it decodes masks in float32.
        """
        self._predictor = predictor
        self._dtype = dtype
        self._lock = threading.Lock()  # the predictor holds the image that it works on

    @classmethod
    def load(cls, folder: Path, *, dtype: str, device: torch.device) -> "MetaSegmenter":
        """Load a checkpoint folder.

        Its mask decoder must have the sizes of the published ones, which the package fixes.

        Args:
            folder: as `weights.resolve_weights` returns it.
            dtype: in which the image encoder computes, a name such as `bfloat16`; prompt encoder
                and mask decoder compute in float32.
            device: where the model runs.

        Returns:
            The segmenter; it can't follow objects.

        Raises:
            CheckpointError: the folder holds no usable SAM 2, or the package isn't installed.
            DeviceOutOfMemory: the device has too little memory.
        """
        try:
            from sam2.sam2_image_predictor import SAM2ImagePredictor
        except ImportError as error:
            raise CheckpointError(
                "Meta's sam2 package isn't installed: install segzero's extra `sam2`, or set "
                "`segmenter_adapter: transformers` in the profile"
            ) from error
        config = load_pretrained(AutoConfig, folder)
        if config.model_type not in ("sam2", "sam2_video"):
            raise CheckpointError(f"{folder} is a {config.model_type} model, not a SAM 2")
        model = _build(config)
        original = load_file(folder / "model.safetensors")
        if not torch.equal(*(original.get(name, torch.empty(0)) for name in _POSITIONS)):
            raise CheckpointError(
                f"{folder} doesn't fit Meta's sam2 package, which has one position encoding for "
                f"image and prompts: set `segmenter_adapter: transformers`"
            )
        weights = _rename(original)
        known = model.state_dict().keys()
        try:
            missing, _ = model.load_state_dict(
                {name: tensor for name, tensor in weights.items() if name in known}, strict=False
            )
        except RuntimeError as error:
            raise CheckpointError(f"{folder} doesn't fit Meta's sam2 package: {error}") from error
        if missing := sorted(set(missing) - _UNUSED):
            raise CheckpointError(f"the weights in {folder} lack {missing[0]} for Meta's package")
        require_finite(model, folder)
        with translate_oom():
            predictor = SAM2ImagePredictor(model.to(device).eval())
        # The package knows these sizes for 1024 px only.
        predictor._bb_feat_sizes = config.vision_config.backbone_feature_sizes
        return cls(predictor, getattr(torch, dtype))

    def encode(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """See `Segmenter.encode`."""
        with (
            self._lock,
            translate_oom(),
            torch.inference_mode(),
            self._cast(),
            cuda_side_stream(self._predictor.device),
        ):
            # A copy: torch takes no negative strides and warns about read-only arrays.
            self._predictor.set_image(np.array(image, order="C"))
            features: dict[str, Any] = self._predictor._features
            return {
                "image_embed": features["image_embed"].float(),
                "high_res_feats": [level.float() for level in features["high_res_feats"]],
            }

    def encode_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[dict[str, Any]]:
        """See `Segmenter.encode_batch`: one by one."""
        return [self.encode(image) for image in images]

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[Prompt],
        encoded: dict[str, Any] | None = None,
    ) -> list[ScoredMask]:
        """See `Segmenter.segment`; of SAM 2's three hypotheses it returns `best_hypotheses`."""
        if not objects:
            return []
        masks: dict[int, ScoredMask] = {}
        encoded = encoded or self.encode(image)
        with self._lock, translate_oom(), torch.inference_mode():
            # The image that was set last may be another.
            self._predictor._features, self._predictor._orig_hw = encoded, [image.shape[:2]]
            self._predictor._is_image_set = True
            for batch in batches(objects):
                found = self._decode([objects[i] for i in batch], image.shape[:2])
                masks.update(zip(batch, found, strict=True))
            self._predictor.reset_predictor()
        return [masks[index] for index in range(len(objects))]

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> NoReturn:
        """Always refuse: only transformers' adapter has the video memory.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(
            "Meta's sam2 package can't follow objects here: set `segmenter_adapter: transformers` "
            "in the profile"
        )

    def _cast(self) -> AbstractContextManager[Any]:
        half = self._dtype != torch.float32
        return torch.autocast(self._predictor.device.type, self._dtype) if half else nullcontext()

    def _decode(self, objects: Sequence[Prompt], shape: tuple[int, int]) -> list[ScoredMask]:
        """Masks of N objects, all with or all without a box, with equally many points, P."""
        boxes = [[o.box.x1, o.box.y1, o.box.x2, o.box.y2] for o in objects if o.box]
        labelled = [labelled_points(item) for item in objects]
        points = np.array([[[p.x, p.y] for p, _ in item] for item in labelled])  # (N, P, 2)
        labels = np.array([[label for _, label in item] for item in labelled], np.int32)  # (N, P)
        masks, ious, _ = self._predictor.predict(
            point_coords=points if points.size else None,
            point_labels=labels if points.size else None,
            box=np.array(boxes) if boxes else None,
            multimask_output=True,
        )
        # For a single object the package leaves the first axis out.
        masks = masks.reshape(len(objects), -1, *masks.shape[-2:])  # (N, M, H, W)
        ious = ious.reshape(len(objects), -1)  # (N, M)
        shown = masks.astype(bool)
        best = best_hypotheses(ious, shown, objects, shape)  # (N,)
        return [(shown[i, k], float(ious[i, k])) for i, k in enumerate(best.tolist())]


def _build(config: Any) -> Any:
    """Make Meta's image model, without its memory, in the sizes of a transformers configuration."""
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base

    vision = config.vision_config
    backbone = vision.backbone_config
    width = vision.fpn_hidden_size
    trunk = Hiera(
        embed_dim=backbone.hidden_size,
        num_heads=backbone.num_attention_heads,
        q_pool=backbone.num_query_pool_stages,
        stages=tuple(backbone.blocks_per_stage),
        window_pos_embed_bkg_spatial_size=tuple(
            backbone.window_positional_embedding_background_size
        ),
        window_spec=tuple(backbone.window_size_per_stage),
        global_att_blocks=tuple(backbone.global_attention_blocks),
    )
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=width),
        d_model=width,
        backbone_channel_list=list(vision.backbone_channel_list),
        fpn_top_down_levels=list(vision.fpn_top_down_levels),
        fpn_interp_model="nearest",
    )
    return SAM2Base(
        ImageEncoder(trunk, neck, scalp=1),
        memory_attention=None,
        memory_encoder=None,
        image_size=config.prompt_encoder_config.image_size,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
    )


def _rename(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename a transformers state to Meta's names; weights that only video needs keep theirs."""
    renamed = {}
    for name, tensor in weights.items():
        if name == "prompt_encoder.point_embed.weight":
            for index, row in enumerate(tensor):
                renamed[f"sam_prompt_encoder.point_embeddings.{index}.weight"] = row[None]
            continue
        if head := _HEAD.fullmatch(name):
            name = f"{head[1]}.layers.{_HEAD_LAYERS[head[2]]}.{head[3]}"
        for pattern, replacement in _RENAMES:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed
