"""`python benchmarks/published_shapes.py`: our own forward passes, in the published models' shapes.

Widths, heads, rotary positions and patches are those of the published models. Weights are random;
layers, vision blocks and the vocabulary are cut so that it runs on a laptop. transformers'
`generate` writes tokens about a picture. The decoder gets the same prompt and the same tokens, and
its logits are compared at each of them. The rounding of a type is what `generate` itself is apart
from one pass in float32 over the whole text.
"""

import argparse
import copy
import gc
import sys
import time
from pathlib import Path
from typing import Any

import models
import numpy as np
import records
import torch
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from segzero.reasoning.decoder import Decoder
from segzero.reasoning.decoder_check import relative_difference

PICTURES: tuple[tuple[int, int], ...] = ((840, 840), (1280, 720))
"""Width and height in pixels."""
TEXT = 180
"""Tokens of the prompt besides the picture's."""
LAYERS, VISION_LAYERS, VOCABULARY = 2, 3, 16_384
CUT = {"layers": LAYERS, "vision layers": VISION_LAYERS, "vocabulary": VOCABULARY}
_IMAGE: dict[str, Any] = {"vision_start_token_id": 2, "image_token_id": 3, "vision_end_token_id": 4}


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(models.LANGUAGE), metavar="MODEL")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"], metavar="DTYPE")
    parser.add_argument("--tokens", type=int, default=256, help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "published-shapes.json", metavar="FILE"
    )
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.models:
        for dtype in options.dtypes:
            rows += compare(name, getattr(torch, dtype), options.tokens)
            print(records.table([list(rows[0]), *(list(row.values()) for row in rows[-2:])]))
            figures = {"cut to": CUT, "rows": rows}
            records.record(figures, ("torch", "transformers"), options.out)
            gc.collect()
    return 0


@torch.inference_mode()
def compare(
    name: str, dtype: torch.dtype, tokens: int, device: torch.device | str = "cpu"
) -> list[dict[str, Any]]:
    """A row for each picture."""
    model = language_model(name, dtype, device)
    # Before the decoder, which rearranges the weights.
    exact = model if dtype == torch.float32 else copy.deepcopy(model).float()
    decoder = Decoder(model)
    rows = []
    for size in PICTURES:
        start = time.perf_counter()
        inputs = prompt(model, size)
        length = inputs["input_ids"].shape[1]
        generated = model.generate(**inputs, generation_config=generation(model, tokens))
        ids = generated.sequences[0, length:]  # (S + 1,)
        theirs = torch.cat(generated.logits)[1:].float()  # (S, V)
        ours = decoder.logits(inputs, ids[:-1]).float()  # (S, V)
        whole = whole_text(exact, inputs, generated.sequences, tokens)  # (S, V)
        gaps = theirs.topk(2).values.diff().abs().flatten() / theirs.std(-1)  # (S,)
        other = ours.argmax(-1) != ids[1:]  # (S,)
        rows.append(
            {
                "model": name,
                "dtype": str(dtype).removeprefix("torch."),
                "picture": "x".join(map(str, size)),
                "prompt tokens": length,
                "new tokens": len(ids) - 1,
                "other tokens": int(other.sum()),
                # How near to each other the two best tokens were for `generate`.
                "largest gap of those": _short(gaps[other].max()) if other.any() else 0.0,
                "ours against generate": _short(relative_difference(ours, theirs)),
                "ours against float32": _short(relative_difference(ours, whole)),
                "generate against float32": _short(relative_difference(theirs, whole)),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    return rows


def language_model(name: str, dtype: torch.dtype, device: torch.device | str = "cpu") -> Any:
    """A model of the published widths with random weights, none of which is zero."""
    sizes = copy.deepcopy(models.LANGUAGE[name])
    sizes["text_config"] |= {"num_hidden_layers": LAYERS, "vocab_size": VOCABULARY}
    sizes["vision_config"] |= {"depth": VISION_LAYERS}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        with torch.device(device):
            if name.startswith("qwen3"):
                sizes["vision_config"]["deepstack_visual_indexes"] = [0, 1, 2]
                config: Any = Qwen3VLConfig(**sizes, **_IMAGE)
                model: Any = Qwen3VLForConditionalGeneration(config)
            else:
                sizes["vision_config"]["fullatt_block_indexes"] = [1]
                config = Qwen2_5_VLConfig(**sizes, **_IMAGE)
                model = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    for weight in model.parameters():
        if weight.dim() == 1:  # biases are drawn as 0, and the scales of norms as 1
            weight.data.add_(torch.randn_like(weight), alpha=0.2)
    return model.eval()


def prompt(model: Any, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The inputs for a picture of noise within a text at random."""
    width, height = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    vision = model.config.vision_config
    pixels = Qwen2VLImageProcessor(
        patch_size=vision.patch_size, size={"shortest_edge": 256**2, "longest_edge": 4096**2}
    )(images=[picture], return_tensors="pt")
    count = int(pixels["image_grid_thw"].prod()) // vision.spatial_merge_size**2
    text = torch.randint(5, VOCABULARY, (TEXT,), generator=torch.manual_seed(1)).tolist()
    start, image, end = _IMAGE.values()
    ids = torch.tensor([[*text[:20], start, *[image] * count, end, *text[20:]]])  # (1, T)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == image).long(),
        "pixel_values": pixels["pixel_values"].to(model.dtype),
        "image_grid_thw": pixels["image_grid_thw"],
    }
    return {name: value.to(model.device) for name, value in inputs.items()}


def generation(model: Any, tokens: int) -> GenerationConfig:
    """Greedy settings for `tokens` tokens after the first, with all logits kept."""
    config = copy.deepcopy(model.generation_config)
    config.update(
        do_sample=False,
        max_new_tokens=tokens + 1,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return config


def whole_text(
    model: Any, inputs: dict[str, torch.Tensor], ids: torch.Tensor, tokens: int
) -> torch.Tensor:
    """(S, V) logits after each new token but the last, by one pass without a cache."""
    text = ids[:, :-1]  # (1, T + S)
    more = text.shape[1] - inputs["input_ids"].shape[1]
    padded = {
        "attention_mask": torch.ones_like(text),
        "mm_token_type_ids": torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, more)),
        "pixel_values": inputs["pixel_values"].to(model.dtype),
        "image_grid_thw": inputs["image_grid_thw"],
    }
    output = model(input_ids=text, **padded, use_cache=False, logits_to_keep=tokens)
    return output.logits[0].float()


def _short(value: torch.Tensor | float) -> float:
    return float(f"{float(value):.2g}")


if __name__ == "__main__":
    sys.exit(main())
