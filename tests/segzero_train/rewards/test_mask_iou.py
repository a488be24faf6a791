import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from PIL import Image

from segzero.loading import load_segmenter
from segzero.profiles import load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero.segmentation.segmenter import Prompt, ScoredMask, Segmenter
from segzero.segmentation.tracker import Tracker
from segzero.types import SegmentedObject
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData
from segzero_train.rewards import RewardContext, RewardFunction, build_rewards
from tests.segzero_train.reward_texts import COMPLETIONS, answer

SIDE = 256


class Counted(Segmenter):
    """A segmenter that counts what it is asked for."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.asked: list[int] = []

    def encode(self, image: NDArray[np.uint8]) -> Any:
        return self.segmenter.encode(image)

    def encode_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Any]:
        return self.segmenter.encode_batch(images)

    def segment(
        self, image: NDArray[np.uint8], objects: Sequence[Prompt], encoded: Any = None
    ) -> list[ScoredMask]:
        self.asked.append(len(objects))
        return self.segmenter.segment(image, objects, encoded)

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> Tracker:
        return self.segmenter.track(image, objects)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return load_segmenter(load_profile("demo"), torch.device("cpu"))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(tabletop.samples("test", 5))


@pytest.fixture
def counted(segmenter: Segmenter) -> Counted:
    return Counted(segmenter)


@pytest.fixture
def mask_iou(counted: Counted) -> RewardFunction:
    context = RewardContext(
        (SIDE, SIDE), CompletionFormat("vision_reasoner", "relative_1000"), counted
    )
    (function,), _ = build_rewards(["mask_iou"], context)
    return function


def right(sample: Sample, thinking: str = "It is there.") -> str:
    """The completion with the true boxes and points, in thousandths."""
    height, width = sample.mask.shape
    scale = np.array([1000 / width, 1000 / height])
    objects = []
    for item in sample.objects:
        corners = np.array([[item.box.x1, item.box.y1], [item.box.x2, item.box.y2]]) * scale
        point = np.array([item.points[0].x, item.points[0].y]) * scale
        objects.append(
            {
                "bbox_2d": corners.round().astype(int).ravel().tolist(),
                "point_2d": point.round().astype(int).tolist(),
            }
        )
    return answer(objects, thinking)


def columns(samples: Sequence[Sample]) -> dict:
    """The columns of a training batch: images and masks squashed to the model's square."""
    size = (SIDE, SIDE)
    return {
        "solution": ["[]"] * len(samples),
        "image": [Image.fromarray(item.image).resize(size) for item in samples],
        "mask": [
            Image.fromarray(item.mask).resize(size, Image.Resampling.NEAREST) for item in samples
        ],
        "id": [item.name for item in samples],
    }


def test_the_true_boxes_and_points_give_nearly_the_true_mask(
    mask_iou: RewardFunction, samples: list[Sample]
) -> None:
    values = mask_iou([right(sample) for sample in samples], **columns(samples))
    assert min(values) > 0.7
    assert max(values) <= 1


def test_the_wrong_object_earns_less(mask_iou: RewardFunction, samples: list[Sample]) -> None:
    sample = samples[0]
    elsewhere = answer([{"bbox_2d": [0, 0, 90, 90], "point_2d": [40, 40]}])
    good, bad = mask_iou([right(sample), elsewhere], **columns([sample] * 2))
    assert good > 0.7 > 0.1 > bad


def test_nothing_said_of_nothing_is_right(mask_iou: RewardFunction, samples: list[Sample]) -> None:
    something, nothing = samples[0], samples[4]
    assert not nothing.mask.any()
    pair = [something, nothing]
    assert mask_iou([answer([])] * 2, **columns(pair)) == [0.0, 1.0]
    assert mask_iou([right(something)], **columns([nothing])) == [0.0]


@pytest.mark.parametrize(
    "completion", ["", "no idea", answer([{"bbox_2d": [1, 2, 3]}]), "<answer>[</answer>"]
)
def test_a_malformed_completion_earns_nothing(
    mask_iou: RewardFunction, samples: list[Sample], completion: str
) -> None:
    assert mask_iou([completion] * 2, **columns([samples[0], samples[4]])) == [0.0, 0.0]


def test_a_box_outside_the_image_earns_nothing(
    mask_iou: RewardFunction, counted: Counted, samples: list[Sample]
) -> None:
    outside = answer([{"bbox_2d": [2000, 10, 2100, 90], "point_2d": [2050, 50]}])
    assert mask_iou([outside], **columns(samples[:1])) == [0.0]
    assert counted.asked == []


def test_equal_answers_are_drawn_once(
    mask_iou: RewardFunction, counted: Counted, samples: list[Sample]
) -> None:
    first, second = samples[:2]
    completions = [right(first, "One way."), right(first, "Another way."), right(second)]
    values = mask_iou(completions, **columns([first, first, second]))
    assert counted.asked == [1, 1]
    assert values[0] == values[1]


def test_completions_of_a_batch_do_not_depend_on_each_other(
    mask_iou: RewardFunction, samples: list[Sample]
) -> None:
    together = mask_iou([right(sample) for sample in samples], **columns(samples))
    alone = [mask_iou([right(sample)], **columns([sample]))[0] for sample in samples]
    assert together == pytest.approx(alone, abs=1e-3)


def test_ignored_pixels_do_not_count(mask_iou: RewardFunction, samples: list[Sample]) -> None:
    sample = samples[0]
    batch = columns([sample])
    ignored = np.full((SIDE, SIDE), 255, np.uint8)
    ignored[np.asarray(batch["mask"][0]) == 1] = 1
    before = mask_iou([right(sample)], **batch)
    after = mask_iou([right(sample)], **batch | {"mask": [Image.fromarray(ignored)]})
    assert before < after


def test_a_mask_of_another_size_names_the_row(
    mask_iou: RewardFunction, samples: list[Sample]
) -> None:
    batch = columns(samples[:1]) | {"mask": [Image.new("L", (10, 20))]}
    with pytest.raises(BadData, match=r"test-00000: the mask is 10x20 pixels, the image 256x256"):
        mask_iou([right(samples[0])], **batch)


def test_a_missing_column_is_named(mask_iou: RewardFunction) -> None:
    with pytest.raises(BadData, match="no column mask"):
        mask_iou([answer([])], ["[]"], image=[Image.new("RGB", (SIDE, SIDE))])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=COMPLETIONS)
def test_no_completion_raises_or_leaves_the_range(
    mask_iou: RewardFunction, samples: list[Sample], text: str
) -> None:
    (value,) = mask_iou([text], **columns(samples[:1]))
    assert 0 <= value <= 1


def test_rounding_and_units_are_those_of_the_context(
    segmenter: Segmenter, samples: list[Sample]
) -> None:
    sample = samples[0]
    format_ = CompletionFormat("vision_reasoner", "absolute_pixels", "round")
    context = RewardContext((512, 384), format_, segmenter)
    thousandths = replace(context, completion_format=replace(format_, coordinates="relative_1000"))
    entry = json.loads(right(sample).partition("<answer>")[2].removesuffix("</answer>"))[0]
    pixels = {
        key: [round(value * (512, 384)[k % 2] / 1000) for k, value in enumerate(values)]
        for key, values in entry.items()
    }
    for fitting, item in ((context, pixels), (thousandths, entry)):
        (function,), _ = build_rewards(["mask_iou"], fitting)
        assert function([answer([item])], **columns([sample]))[0] > 0.7
