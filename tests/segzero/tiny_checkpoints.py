"""Small checkpoints with the architecture and the file layout of the real ones.

They go to disk as safetensors with tokenizer and processor files, so that tests load them the way
the 7B is loaded. Weights are random, except that a reasoner can be given a script: its weights are
then set so that it writes exactly those pieces of text.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

from tests.segzero.qwen_tokenizer import SPECIAL

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

ANSWER_SCRIPT = (
    "<think>",
    " the red thing ",
    "</think>",
    "<answer>",
    '[{"bbox_2d": [100,200,500,600], ',
    '"point_2d": [300,400]}]',
    "</answer>",
)
"""One object, as the vision_reasoner format has it."""

_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 64,
}


def save_qwen3_vl(
    folder: Path,
    script: Sequence[str] = (),
    *,
    endless: bool = False,
    processor: Any = None,
    **text: int,
) -> Path:
    """A Qwen3-VL; `script` as in `_follow`; `text` overrides fields of the text model.

    The tokenizer has few tokens, unless another `processor` is given.
    """
    processor = processor or Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=_pixels(32)),
        tokenizer=_tokenizer(script),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer = processor.tokenizer
    config = Qwen3VLConfig(
        text_config={**_text_config(tokenizer), "head_dim": 16, **text},
        vision_config={
            **_VISION,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_token_ids(tokenizer),
    )
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config)
    return _save(folder, model, processor, script, endless)


def save_qwen2_5_vl(
    folder: Path, script: Sequence[str] = (), *, endless: bool = False, processor: Any = None
) -> Path:
    """A Qwen2.5-VL as the installed transformers saves it; arguments as of `save_qwen3_vl`."""
    processor = processor or Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=14, size=_pixels(28)),
        tokenizer=_tokenizer(script),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer = processor.tokenizer
    config = Qwen2_5_VLConfig(
        text_config=_text_config(tokenizer),
        vision_config={
            **_VISION,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        **_token_ids(tokenizer),
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    return _save(folder, model, processor, script, endless)


def make_legacy_sam2(folder: Path) -> None:
    """Rewrite a saved SAM2 video checkpoint's processor in the layout of the published ones.

    Image and video processor have files of their own, with the names that classes had in 2025.
    """
    processor = json.loads((folder / "processor_config.json").read_text())
    image = processor.pop("image_processor") | {"image_processor_type": "Sam2ImageProcessorFast"}
    video = processor.pop("video_processor")
    for name, part in (("preprocessor", image), ("video_preprocessor", video)):
        part["processor_class"] = "Sam2VideoProcessor"
        (folder / f"{name}_config.json").write_text(json.dumps(part))
    (folder / "processor_config.json").write_text(json.dumps(processor))


def make_legacy(folder: Path) -> None:
    """Rewrite a saved Qwen2.5-VL in the layout of 2025, in which Seg-Zero-7B was published.

    The text model's settings stand flat in config.json, the vision tower is `visual.*` and the text
    model `model.*` in the weights, which are sharded; the image processor has its own file with
    `min_pixels` and `max_pixels`, and the chat template has one too.
    """
    config = json.loads((folder / "config.json").read_text())
    text = config.pop("text_config")
    for key in ("model_type", "layer_types"):
        text.pop(key)
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope["rope_theta"]
    text["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    text["torch_dtype"] = text.pop("dtype", "float32")
    config.pop("dtype", None)
    config["vision_config"]["model_type"] = "qwen2_5_vl"
    (folder / "config.json").write_text(json.dumps({**text, **config}))

    weights = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): tensor
        for name, tensor in weights.items()
    }
    (folder / "model.safetensors").unlink()
    write_shards(folder, renamed)

    processor = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").unlink()
    image = processor["image_processor"]
    size = image.pop("size")
    image |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    image |= {"processor_class": "Qwen2_5_VLProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(image))
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))


def write_shards(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Save weights as two shards with an index."""
    names = sorted(weights)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {}
    for file, half in zip(files, halves, strict=True):
        save_file({name: weights[name] for name in half}, folder / file, {"format": "pt"})
        index.update(dict.fromkeys(half, file))
    text = json.dumps({"metadata": {"total_size": 0}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)


def save_sam2(folder: Path, *, video: bool = True) -> Path:
    """A SAM2 for 256 px, by default as a video checkpoint like the published ones."""
    parts: dict[str, Any] = {
        "vision_config": {
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 16,
                "num_attention_heads": 1,
                "image_size": [256, 256],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [16, 32, 64, 128],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [8, 4, 8, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": [128, 64, 32, 16],
            "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
            "fpn_hidden_size": 128,
        },
        "prompt_encoder_config": {"hidden_size": 128, "image_size": 256},
        # Whole, as a saved file has it: transformers 5.18 has no defaults for what is left out.
        "mask_decoder_config": {
            "hidden_size": 128,
            "hidden_act": "gelu",
            "mlp_dim": 2048,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "attention_downsample_rate": 2,
            "num_multimask_outputs": 3,
            "iou_head_depth": 3,
            "iou_head_hidden_dim": 256,
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    }
    torch.manual_seed(0)
    image_processor = Sam2ImageProcessor(
        size={"height": 256, "width": 256}, mask_size={"height": 64, "width": 64}
    )
    if video:
        config = Sam2VideoConfig(
            **parts,
            image_size=256,
            memory_attention_hidden_size=128,
            memory_attention_feed_forward_hidden_size=64,
            memory_attention_num_layers=1,
            memory_attention_rope_feat_sizes=[16, 16],
            memory_encoder_hidden_size=128,
            memory_encoder_output_channels=64,
            mask_downsampler_embed_dim=128,
            memory_fuser_embed_dim=128,
            memory_fuser_intermediate_dim=64,
            memory_fuser_num_layers=1,
        )
        model: Any = Sam2VideoModel(config)
        processor: Any = Sam2VideoProcessor(
            image_processor=image_processor,
            video_processor=Sam2VideoVideoProcessor(size={"height": 256, "width": 256}),
        )
    else:
        model = Sam2Model(Sam2Config(**parts))
        processor = Sam2Processor(image_processor=image_processor)
    _draw(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer(script: Sequence[str]) -> Qwen2Tokenizer:
    """One token for each byte, each of Qwen's special tokens, and each piece of the script."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={letter: number for number, letter in enumerate(alphabet)},
        merges=[],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.add_tokens(list(SPECIAL), special_tokens=True)
    tokenizer.add_tokens([piece for piece in script if len(piece) > 1])
    return tokenizer


def _token_ids(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _text_config(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [2, 3, 3],
        },
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _pixels(side: int) -> dict[str, int]:
    return {"shortest_edge": (4 * side) ** 2, "longest_edge": (16 * side) ** 2}


def _save(folder: Path, model, processor, script: Sequence[str], endless: bool) -> Path:
    if script:
        _follow(model, processor.tokenizer, script, endless)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@torch.no_grad()
def _follow(model, tokenizer: Qwen2Tokenizer, script: Sequence[str], endless: bool) -> None:
    """Make the model write `script`, pieces of text of which no token comes twice.

    A piece is one token, unless it is a single character: then it is as many as it has bytes.

    The layers are made to add nothing, so that the last hidden state is the last token's embedding,
    and the head is set to answer each embedding with the next token. After the last piece comes
    the end of the turn, or the first piece again if `endless`.
    """
    text = model.model.language_model
    for layer in text.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    embeddings = torch.nn.functional.normalize(text.embed_tokens.weight, dim=-1)
    text.embed_tokens.weight.copy_(embeddings)
    model.lm_head.weight.zero_()
    tokens = tokenizer("".join(script), add_special_tokens=False)["input_ids"]
    assert len(set(tokens)) == len(tokens)
    (line_break,) = tokenizer("\n", add_special_tokens=False)["input_ids"]  # ends the prompt
    following = tokens[0] if endless else tokenizer.eos_token_id
    steps = zip([line_break, *tokens], [*tokens, following], strict=True)
    for current, following in steps:
        model.lm_head.weight[following] += embeddings[current]


@torch.no_grad()
def _draw(model: Any) -> None:
    """Weights with which prompts matter: as drawn, initialisation lets them drown in zeros."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            continue
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
        parameter.normal_(std=1.0 if "embed" in name else fan_in**-0.5)
    # Drawn apart by transformers, but one and the same in every published checkpoint.
    positions = model.prompt_encoder.shared_embedding.positional_embedding
    model.shared_image_embedding.positional_embedding.copy_(positions)
