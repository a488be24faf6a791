"""What tests of the decoder do with a tiny model: prompts, and completions of both ways."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoProcessor

from segzero.reasoning.decoder import Decoder

MODELS = ["qwen2_5_vl", "qwen3_vl"]


def prompt(folder: Path, words: int, side: int = 112) -> dict[str, torch.Tensor]:
    processor = AutoProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": "ball " * words}]
    chat = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    pixels = np.random.default_rng(words).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return processor(text=[chat], images=[pixels], return_tensors="pt")


def settings(model: Any, new_tokens: int, **options: object) -> Any:
    config = copy.deepcopy(model.generation_config)
    config.update(do_sample=False, eos_token_id=None, max_new_tokens=new_tokens, **options)
    return config


@torch.inference_mode()
def generated(model: Any, inputs: dict[str, torch.Tensor], config: Any) -> list[int]:
    ids = model.generate(**inputs, generation_config=config)
    return ids[0, inputs["input_ids"].shape[1] :].tolist()


@torch.inference_mode()
def decoded(decoder: Decoder, inputs: dict[str, torch.Tensor], config: Any) -> list[int]:
    return list(decoder.decode(inputs, config))
