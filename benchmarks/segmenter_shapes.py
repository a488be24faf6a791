"""`python benchmarks/segmenter_shapes.py`: image encoder and video memory in SAM 2.1's shapes.

Weights are random, sizes the published ones. The image encoder is compared with transformers' own.
The video memory follows two objects at once through frames of noise, and is compared with
transformers' session, which follows each alone.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import models
import records
import torch
from transformers import Sam2VideoInferenceSession

from segzero.segmentation.image_encoder import ImageEncoder
from segzero.segmentation.video_memory import (
    ObjectMemory,
    decode,
    encode_memory,
    init_memory,
)

_SIDE = 1024


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["sam2.1-tiny", "sam2.1-large"])
    parser.add_argument("--frames", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "segmenter-shapes.json")
    options = parser.parse_args()
    rows = [compare(name, options.frames) for name in options.models]
    records.record({"rows": rows}, ("torch", "transformers"), options.out)
    print(records.table([list(rows[0]), *(list(row.values()) for row in rows)]))
    return 0


@torch.inference_mode()
def compare(name: str, frames: int, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Largest differences of one model, relative to the spread."""
    start = time.perf_counter()
    torch.manual_seed(0)
    with torch.device(device):
        model = models.sam2(name)
    for weight in model.parameters():  # as drawn, objects drown in zeros
        if weight.dim() > 1:
            weight.normal_(std=weight[0].numel() ** -0.5)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20)  # the objects are there
    pixels = torch.randn(frames + 1, 1, 3, _SIDE, _SIDE, device=device)
    masks = torch.zeros(2, 1, _SIDE, _SIDE, device=device)
    masks[0, 0, 100:400, 150:450] = masks[1, 0, 500:800, 300:900] = 1
    encoder = ImageEncoder(model)
    return {
        "model": name,
        "frames": frames,
        "image encoder": _encoder_difference(model, encoder, pixels[0]),
        "video memory": _memory_difference(model, encoder, pixels, masks) if frames else None,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _encoder_difference(model: Any, encoder: ImageEncoder, pixels: torch.Tensor) -> float:
    features = encoder(pixels)
    ours = (features.high_res_0, features.high_res_1, features.image_embed)
    theirs = model.get_image_features(pixels, return_dict=True).fpn_hidden_states
    return max(
        _relative(mine.flatten(2), level.permute(1, 2, 0))  # (hw, B, C) -> (B, C, hw)
        for mine, level in zip(ours, theirs, strict=True)
    )


def _memory_difference(
    model: Any, encoder: ImageEncoder, pixels: torch.Tensor, masks: torch.Tensor
) -> float:
    frames = [encoder(frame).expand(len(masks)) for frame in pixels]
    memory = ObjectMemory(model, init_memory(model, frames[0], masks))
    together = []
    for frame in frames[1:]:
        found = decode(model, frame, memory.condition_on_memory(frame.image_embed))
        present = found.object_score_logits > 0
        logits = found.best_masks(present)  # (B, 1, h, w)
        memory.add(encode_memory(model, frame, logits, present, found.object_pointer))
        together.append(logits[:, 0])
    alone = [_by_transformers(model, pixels, mask) for mask in masks]
    return max(
        _relative(both[number], single)
        for number, frames_alone in enumerate(alone)
        for both, single in zip(together, frames_alone, strict=True)
    )


def _by_transformers(model: Any, pixels: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """(h, w) mask logits of each later frame."""
    session = Sam2VideoInferenceSession(
        inference_device=pixels.device, inference_state_device=pixels.device, dtype=torch.float32
    )
    session.obj_id_to_idx(1)
    session.add_mask_inputs(0, 0, mask[None])
    session.obj_with_new_inputs = [1]
    return [model(session, frame=frame).pred_masks[0, 0] for frame in pixels][1:]


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    difference = (found - expected).square().mean().sqrt() / expected.std()
    return float(f"{float(difference):.2g}")


if __name__ == "__main__":
    sys.exit(main())
