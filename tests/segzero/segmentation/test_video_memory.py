"""SAM 2's memory for many objects at once, against transformers' session of one at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from segzero.segmentation.image_encoder import ImageEncoder
from segzero.segmentation.video_memory import (
    MaskDecoderOutput,
    ObjectMemory,
    apply_non_overlapping_constraints,
    decode,
    encode_memory,
    init_memory,
)

SIDE, LENGTH = 256, 24
PIXELS = torch.from_numpy(np.random.default_rng(0).normal(size=(LENGTH, 3, SIDE, SIDE))).float()


@pytest.fixture
def model(sam2: Path) -> Sam2VideoModel:
    return Sam2VideoModel.from_pretrained(sam2).eval()


def squares() -> torch.Tensor:
    """Masks of two objects, (2, 1, SIDE, SIDE)."""
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[0, 0, 20:90, 30:100] = masks[1, 0, 120:200, 60:220] = 1
    return masks


def by_transformers(
    model: Sam2VideoModel, mask: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mask logits (h, w) and the object score logit for each later frame."""
    session = Sam2VideoInferenceSession(dtype=torch.float32)
    session.obj_id_to_idx(1)
    session.add_mask_inputs(0, 0, mask[None])
    session.obj_with_new_inputs = [1]
    found = []
    for frame in PIXELS:
        result = model(session, frame=frame[None])
        found.append((result.pred_masks[0, 0], result.object_score_logits[0, 0]))
        for outputs in session.output_dict_per_obj[0].values():
            for output in outputs.values():
                # It leaves an axis too many, over which it trips where pointers aren't split.
                output["object_pointer"] = output["object_pointer"].view(1, -1)
    return found[1:]


@torch.inference_mode()
def together(model: Sam2VideoModel, masks: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    encode = ImageEncoder(model)
    frames = [encode(frame[None]).expand(len(masks)) for frame in PIXELS]
    memory = ObjectMemory(model, init_memory(model, frames[0], masks))
    results = []
    for frame in frames[1:]:
        found = decode(model, frame, memory.condition_on_memory(frame.image_embed))
        present = found.object_score_logits > 0
        logits = found.best_masks(present)
        memory.add(encode_memory(model, frame, logits, present, found.object_pointer))
        results.append((logits[:, 0], found.object_score_logits[:, 0]))
    return results


@pytest.mark.slow
@pytest.mark.parametrize("times", [False, True], ids=["timeless", "timed pointers"])
@pytest.mark.parametrize("object_score_logit", [100.0, -100.0], ids=["present", "absent"])
def test_objects_together_are_found_as_each_alone(
    model: Sam2VideoModel, times: bool, object_score_logit: float
) -> None:
    model.config.enable_temporal_pos_encoding_for_object_pointers = times
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(object_score_logit)
    masks = squares()
    found = together(model, masks)
    for number in range(len(masks)):
        alone = by_transformers(model, masks[number])
        for (logits, score), (expected, expected_score) in zip(found, alone, strict=True):
            torch.testing.assert_close(logits[number], expected, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(score[number], expected_score, rtol=1e-3, atol=1e-3)


def test_a_pixel_is_of_the_object_with_the_highest_logit() -> None:
    logits = torch.tensor([[3.0, 0.5, -12.0, 1.0], [1.0, 2.0, -3.0, 1.0]])[:, None, None]
    expected = torch.tensor([[3.0, -1024, -1024, 1.0], [-1024, 2.0, -3.0, 1.0]])
    assert torch.equal(apply_non_overlapping_constraints(logits)[:, 0, 0], expected)


def test_one_object_alone_keeps_its_logits() -> None:
    logits = torch.randn(1, 1, 8, 8)
    assert torch.equal(apply_non_overlapping_constraints(logits), logits)


@torch.inference_mode()
def test_a_memory_has_nothing_of_a_neighbour(model: Sam2VideoModel) -> None:
    frame = ImageEncoder(model)(PIXELS[:1]).expand(2)
    masks = torch.randn(2, 1, SIDE, SIDE)
    present, pointer = torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, model.hidden_dim)
    apart = encode_memory(model, frame, masks, present, pointer, non_overlapping=True)
    expected = encode_memory(
        model, frame, apply_non_overlapping_constraints(masks), present, pointer
    )
    overlapping = encode_memory(model, frame, masks, present, pointer)
    assert torch.equal(apart.maskmem_features, expected.maskmem_features)
    assert not torch.equal(apart.maskmem_features, overlapping.maskmem_features)


def test_who_is_not_present_has_no_pixel() -> None:
    logits = torch.stack([torch.full((3, 4, 4), 5.0), torch.full((3, 4, 4), 6.0)])
    best = torch.tensor([1, 2])
    found = MaskDecoderOutput(logits, torch.zeros(2, 3), torch.zeros(2, 1), best, torch.zeros(2, 8))
    masks = found.best_masks(torch.tensor([[True], [False]]))
    assert masks.shape == (2, 1, 4, 4)
    assert (masks[0] == 5).all() and (masks[1] == -1024).all()
