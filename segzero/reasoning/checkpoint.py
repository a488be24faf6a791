"""Load a reasoner's model and processor, and make sure that they belong together."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from segzero.errors import CheckpointError
from segzero.pretrained import load_model, load_pretrained

# Of the picture processor, and the same of the model's configuration.
_PICTURE_SIZES = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}
_FLASH = "flash_attention_2"
_HALF = ("bfloat16", "float16")


def load_checkpoint(
    folder: Path, *, dtype: str, attention: str, device: torch.device
) -> tuple[Any, Any]:
    """Load a checkpoint folder that `weights.resolve_weights` returned.

    Args:
        folder: Weights, configuration, tokenizer and processor.
        dtype: Of the weights: `float32`, `bfloat16` or `float16`.
        attention: An attention implementation of transformers.
        device: Where the model computes.

    Returns:
        model: Of transformers, in evaluation mode on the device.
        processor: The model's own.

    Raises:
        CheckpointError: A file is missing, damaged or of another model, or the attention doesn't
            compute here.
        DeviceOutOfMemory: The weights don't fit.
    """
    _require_attention(attention, dtype, device)
    processor = load_pretrained(AutoProcessor, folder)
    if not getattr(processor, "chat_template", None):
        raise CheckpointError(f"the processor in {folder} has no chat template")
    model = load_model(
        AutoModelForImageTextToText,
        folder,
        dtype=dtype,
        device=device,
        attn_implementation=attention,
    )
    # Without its file, transformers makes an empty tokenizer and says nothing.
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    if image_token != model.config.image_token_id:
        raise CheckpointError(
            f"the tokenizer in {folder} doesn't fit the model: tokenizer.json is missing or "
            f"another model's"
        )
    vision = model.config.vision_config
    for name, of_model in _PICTURE_SIZES.items():
        ours, theirs = getattr(processor.image_processor, name), getattr(vision, of_model)
        if ours != theirs:
            raise CheckpointError(
                f"the picture processor in {folder} doesn't fit the model: its {name} is "
                f"{str(ours)[:40]}, the model's {of_model} is {theirs}"
            )
    return model, processor


def _require_attention(attention: str, dtype: str, device: torch.device) -> None:
    if attention != _FLASH:
        return
    if device.type != "cuda" or dtype not in _HALF:
        raise CheckpointError(
            f"attention {_FLASH} computes on a GPU in bfloat16 or float16, not on {device.type} in "
            f"{dtype}: set attention to sdpa"
        )
    if find_spec("flash_attn") is None:
        raise CheckpointError(
            f"attention {_FLASH} needs the package flash-attn, which isn't installed: install it, "
            f"or set attention to sdpa"
        )
