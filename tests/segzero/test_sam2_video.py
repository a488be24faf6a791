"""What keeps objects apart that are followed together, with a small random video checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from segzero.segmenters.sam2_transformers import TransformersSegmenter
from segzero.segmenters.sam2_video import SeparatingVideoModel, separate
from segzero.types import Box, SegmentedObject

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
SIDE = 256


@pytest.fixture
def segmenter(sam2: Path) -> TransformersSegmenter:
    return TransformersSegmenter.load(sam2, dtype="float32", device=torch.device("cpu"))


@pytest.fixture
def model(segmenter: TransformersSegmenter) -> SeparatingVideoModel:
    assert segmenter._video is not None
    return segmenter._video


@pytest.fixture
def say(model: SeparatingVideoModel) -> Callable[[float], None]:
    """Let the model give all objects this logit of being seen."""
    head = model.mask_decoder.pred_obj_score_head.proj_out
    head.weight.data.zero_()
    return lambda logit: head.bias.data.fill_(logit)


def square() -> SegmentedObject:
    mask = np.zeros((48, 64), bool)
    mask[8:24, 8:24] = True
    return SegmentedObject(1, Box(8, 8, 24, 24), (), mask, 0.9)


def stripes(*logits: float) -> torch.Tensor:
    """(2, 1, SIDE, SIDE): the first object's logits in three columns; the second has 1 in all."""
    first = torch.tensor(logits).repeat_interleave(SIDE // 3 + 1)[:SIDE].expand(SIDE, SIDE)
    return torch.stack([first, torch.ones(SIDE, SIDE)])[:, None]


def test_a_pixel_is_of_the_object_with_the_highest_logit() -> None:
    logits = torch.tensor([[3.0, 0.5, -12.0, 1.0], [1.0, 2.0, -3.0, 1.0]])[:, None, None]
    expected = torch.tensor([[3.0, -10.0, -12.0, 1.0], [-10.0, 2.0, -3.0, 1.0]])
    assert torch.equal(separate(logits)[:, 0, 0], expected)


def test_one_object_alone_keeps_its_logits() -> None:
    logits = torch.randn(1, 1, 8, 8)
    assert torch.equal(separate(logits), logits)


def test_a_memory_has_nothing_of_a_neighbour(model: SeparatingVideoModel) -> None:
    features = torch.randn(16 * 16, 2, model.hidden_dim)
    seen = torch.full((2, 1, 1), 5.0)
    with torch.inference_mode():
        mine, _ = model._encode_new_memory(features, stripes(4.0, 0.5, -20.0), seen, False)
        apart = torch.cat([stripes(4.0, -10.0, -20.0)[:1], stripes(0, 0, 0)[1:]])
        apart[1] = torch.where(stripes(4.0, 0.5, -20.0)[0] > 1, -10.0, 1.0)
        expected, _ = super(SeparatingVideoModel, model)._encode_new_memory(
            features, apart, seen, False
        )
    assert torch.equal(mine, expected)


def test_given_masks_are_remembered_as_they_are(model: SeparatingVideoModel) -> None:
    features = torch.randn(16 * 16, 2, model.hidden_dim)
    masks, seen = stripes(10.0, 0.5, -10.0), torch.full((2, 1, 1), 10.0)
    with torch.inference_mode():
        mine, _ = model._encode_new_memory(features, masks, seen, True)
        theirs, _ = super(SeparatingVideoModel, model)._encode_new_memory(
            features, masks, seen, True
        )
    assert torch.equal(mine, theirs)


def test_who_was_lost_returns_only_if_the_model_is_rather_sure(segmenter, say) -> None:
    tracker = segmenter.track(FRAMES[0], [square()])
    present = []
    for frame, logit in zip(FRAMES[1:], (0.1, -0.1, 0.1, 1.9, 2.1, 0.1, -5.0, 1.9), strict=False):
        say(logit)
        (item,) = tracker.step(frame)
        assert (item.score > 0.5) == (item.box is not None)
        present.append(item.box is not None)
    assert present == [True, False, False, False, True, True, False, False]


def test_a_doubtful_frame_is_remembered_as_an_absence(segmenter, say) -> None:
    def remembered(doubt: float) -> dict[str, torch.Tensor]:
        tracker = segmenter.track(FRAMES[0], [square()])
        for frame, logit in zip(FRAMES[1:3], (-5.0, doubt), strict=True):
            say(logit)
            tracker.step(frame)
        return tracker._session.output_dict_per_obj[0]["non_cond_frame_outputs"][2]

    doubtful, absent, present = remembered(1.0), remembered(-5.0), remembered(3.0)
    for name in ("object_pointer", "maskmem_features"):
        assert torch.equal(doubtful[name], absent[name])
        assert not torch.equal(doubtful[name], present[name])
