"""Models of the published sizes with random weights: speed doesn't depend on what weights say."""

from copy import deepcopy
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    Sam2ImageProcessor,
    Sam2Processor,
    Sam2VideoConfig,
    Sam2VideoModel,
)

from segzero.devices import computes_bfloat16
from segzero.pipeline import SegZero
from segzero.profiles import resource_root
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.local import LocalReasoner
from segzero.segmentation.sam2_transformers import (
    TransformersSegmenter,
    as_image_model,
    convert_encoders,
)

# Sizes from the published config.json of each model.
_QWEN2_5_VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}
_QWEN2_5_ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
_QWEN3_ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}
LANGUAGE: dict[str, dict[str, Any]] = {
    "qwen2.5-vl-3b": {
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "rope_parameters": _QWEN2_5_ROPE,
        },
        "vision_config": {**_QWEN2_5_VISION, "out_hidden_size": 2048},
        "tie_word_embeddings": True,
    },
    "qwen2.5-vl-7b": {
        "text_config": {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "rope_parameters": _QWEN2_5_ROPE,
        },
        "vision_config": {**_QWEN2_5_VISION, "out_hidden_size": 3584},
        "tie_word_embeddings": False,
    },
    "qwen3-vl-2b": {
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "rope_parameters": _QWEN3_ROPE,
        },
        "vision_config": {
            "depth": 24,
            "hidden_size": 1024,
            "num_heads": 16,
            "intermediate_size": 4096,
            "patch_size": 16,
            "out_hidden_size": 2048,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        "tie_word_embeddings": True,
    },
    "qwen3-vl-8b": {
        "text_config": {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "rope_parameters": _QWEN3_ROPE,
        },
        "vision_config": {
            "depth": 27,
            "hidden_size": 1152,
            "num_heads": 16,
            "intermediate_size": 4304,
            "patch_size": 16,
            "out_hidden_size": 4096,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [8, 16, 24],
        },
        "tie_word_embeddings": False,
    },
}
SEGMENTER: dict[str, tuple[int, int, list[int], list[int], list[int]]] = {
    "sam2.1-tiny": (96, 1, [1, 2, 7, 2], [8, 4, 14, 7], [5, 7, 9]),
    "sam2.1-small": (96, 1, [1, 2, 11, 2], [8, 4, 14, 7], [7, 10, 13]),
    "sam2.1-base-plus": (112, 2, [2, 3, 16, 3], [8, 4, 14, 7], [12, 16, 20]),
    "sam2.1-large": (144, 2, [2, 6, 36, 4], [8, 4, 16, 8], [23, 33, 43]),
}
"""Width and heads of the first stage, blocks and window of each, blocks with global attention."""


def random(language: str, segmenter: str, new_tokens: int, device: torch.device) -> SegZero:
    """Full-size models with random weights that never end before `new_tokens`.

    They are drawn on the device, in bfloat16 where it computes in that, else in float32.

    The tokenizer is the demo's: the length of a prompt differs a little from the published one.
    """
    tokenizer = AutoTokenizer.from_pretrained(resource_root() / "checkpoints" / "demo" / "reasoner")
    template = tokenizer.chat_template
    ids: dict[str, Any] = {
        key: tokenizer.convert_tokens_to_ids(token)
        for key, token in (
            ("image_token_id", "<|image_pad|>"),
            ("video_token_id", "<|video_pad|>"),
            ("vision_start_token_id", "<|vision_start|>"),
            ("vision_end_token_id", "<|vision_end|>"),
        )
    }
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if computes_bfloat16(device) else torch.float32)
    try:
        with torch.device(device):
            if language.startswith("qwen3"):
                config: Any = Qwen3VLConfig(**LANGUAGE[language], **ids)
                model: Any = Qwen3VLForConditionalGeneration(config)
            else:
                config = Qwen2_5_VLConfig(**LANGUAGE[language], **ids)
                model = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    with torch.device(device):
        video = sam2(segmenter)
    convert_encoders(video, model.dtype)
    patch = config.vision_config.patch_size
    size = {"shortest_edge": (4 * patch) ** 2, "longest_edge": 1024**2}
    images = Qwen2VLImageProcessor(patch_size=patch, size=size)
    if language.startswith("qwen3"):
        processor: Any = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), template)
    else:
        processor = Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), template)
    reasoner = LocalReasoner(
        model.eval(),
        processor,
        prompt="vision_reasoner",
        image_size=840,
        max_new_tokens=new_tokens,
    )
    sam_processor = Sam2Processor(image_processor=Sam2ImageProcessor())
    return SegZero(
        reasoner,
        TransformersSegmenter(as_image_model(video), sam_processor, video),
        CompletionFormat("vision_reasoner", "relative_1000", "half_up"),
    )


def in_one_dtype(model: Any) -> Any:
    """A copy of a SAM 2 in the dtype of its image encoder throughout, as transformers loads it."""
    return deepcopy(model).to(model.mask_decoder.conv_s0.weight.dtype)


def sam2(name: str) -> Any:
    """A Sam2VideoModel of a published size with random weights, in evaluation mode."""
    width, heads, blocks, windows, global_blocks = SEGMENTER[name]
    widths = [width * 2**stage for stage in range(4)]
    config = Sam2VideoConfig(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": width,
                "num_attention_heads": heads,
                "blocks_per_stage": blocks,
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [heads * 2**stage for stage in range(4)],
                "window_size_per_stage": windows,
                "global_attention_blocks": global_blocks,
            },
            "backbone_channel_list": widths[::-1],
        },
        enable_temporal_pos_encoding_for_object_pointers=True,
        enable_occlusion_spatial_embedding=True,
    )
    return Sam2VideoModel(config).eval()
