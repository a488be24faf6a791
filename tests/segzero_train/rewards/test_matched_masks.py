"""The segmenter of these tests draws the box itself, so that every IoU is known."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segzero.reasoning.completion_format import CompletionFormat
from segzero.segmentation.segmenter import ScoredMask, Segmenter
from segzero.segmentation.tracker import Tracker
from segzero.types import GroundedObject, SegmentedObject
from segzero_train.rewards import RewardContext, RewardFunction, build_rewards
from segzero_train.rewards.matched_masks import STAGE2_STEPS, STEPS, in_steps
from tests.segzero_train.reward_texts import answer

SIDE = 100


class BoxDrawer(Segmenter):
    """Draws each object's box."""

    def encode(self, image: NDArray[np.uint8]) -> Any:
        return None

    def encode_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Any]:
        return [None] * len(images)

    def segment(
        self, image: NDArray[np.uint8], objects: Sequence[Any], encoded: Any = None
    ) -> list[ScoredMask]:
        return [(drawn(image.shape[:2], item), 1.0) for item in objects]

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> Tracker:
        raise NotImplementedError


def drawn(shape: tuple[int, ...], item: GroundedObject) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    x1, y1, x2, y2 = (int(v) for v in (item.box.x1, item.box.y1, item.box.x2, item.box.y2))
    mask[y1:y2, x1:x2] = True
    return mask


def reward(name: str, coordinates: Any = "absolute_pixels") -> RewardFunction:
    format_ = CompletionFormat("vision_reasoner", coordinates, "half_up")
    context = RewardContext((SIDE, SIDE), format_, BoxDrawer())
    return {function.__name__: function for function in build_rewards([name], context)[0]}[name]


def thing(x1: int, x2: int) -> dict[str, list[int]]:
    """An object from x1 to x2, twenty pixels high."""
    return {"bbox_2d": [x1, 20, x2, 40], "point_2d": [(x1 + x2) // 2, 30]}


def row(objects: Sequence[dict[str, list[int]]], completions: int = 1) -> dict[str, list[Any]]:
    """The columns of a question with these true objects."""
    ids = np.zeros((SIDE, SIDE), np.uint8)
    for number, item in enumerate(objects, start=1):
        x1, y1, x2, y2 = item["bbox_2d"]
        ids[y1:y2, x1:x2] = number
    columns = {
        "solution": json.dumps(objects),
        "image": Image.new("RGB", (SIDE, SIDE)),
        "mask": Image.fromarray(ids),
        "id": "a",
    }
    return {key: [value] * completions for key, value in columns.items()}


LEFT, RIGHT, FAR = thing(0, 20), thing(40, 60), thing(80, 100)


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [
        ([LEFT], [LEFT], 1.0),
        ([LEFT, RIGHT], [RIGHT, LEFT], 1.0),
        ([LEFT, RIGHT], [LEFT], 0.5),
        ([LEFT], [LEFT, RIGHT, FAR], 1 / 3),
        ([LEFT], [thing(0, 10)], 0.5),
        ([LEFT, RIGHT], [thing(0, 60)], 1 / 6),
        ([LEFT], [FAR], 0.0),
        ([], [], 1.0),
        ([], [LEFT], 0.0),
        ([LEFT], [], 0.0),
    ],
)
def test_matched_mask_iou_is_the_mean_over_the_larger_number_of_objects(
    truth: list, said: list, expected: float
) -> None:
    values = reward("matched_mask_iou")([answer(said)], **row(truth))
    assert values == [pytest.approx(expected)]


def test_pixels_that_are_not_counted_belong_to_nobody() -> None:
    columns = row([LEFT])
    ids = np.array(columns["mask"][0])
    ids[20:40, 20:40] = 255
    columns["mask"] = [Image.fromarray(ids)]
    assert reward("matched_mask_iou")([answer([thing(0, 40)])], **columns) == [1.0]


@pytest.mark.parametrize(
    ("iou", "first", "second"),
    [
        (0.0, 0, 0),
        (0.3, 0, 0),
        (0.31, 0, 1),
        (0.5, 0, 1),
        (0.51, 2, 2),
        (0.7, 2, 2),
        (0.71, 3, 3),
        (0.8, 3, 3),
        (0.81, 4, 4),
        (0.9, 4, 4),
        (0.91, 4, 5),
        (1.0, 4, 5),
    ],
)
def test_a_step_is_reached_only_above_its_bound(iou: float, first: float, second: float) -> None:
    assert in_steps(np.array([iou]), STEPS).tolist() == [first]
    assert in_steps(np.array([iou]), STAGE2_STEPS).tolist() == [second]


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [([LEFT], [LEFT], 4.0), ([LEFT, RIGHT], [LEFT], 2.0), ([], [], 4.0), ([LEFT], [FAR], 0.0)],
)
def test_mask_iou_steps_are_matched_too(truth: list, said: list, expected: float) -> None:
    assert reward("mask_iou_steps")([answer(said)], **row(truth)) == [expected]


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [
        ([LEFT], [LEFT], 7.0),
        ([LEFT, RIGHT], [RIGHT, LEFT], 7.0),
        ([LEFT, RIGHT], [LEFT], 3.5),
        # IoU 0.75: 3 for the mask, 1 each for box, corners and point.
        ([LEFT], [thing(0, 15)], 6.0),
        # IoU 1/3, corners 10 pixels off on two sides: the mean of 5, and the point, are near.
        ([LEFT], [thing(10, 30)], 2.0),
        ([LEFT], [], 0.0),
        ([], [], 0.0),
    ],
)
def test_star_adds_masks_to_boxes_and_points(truth: list, said: list, expected: float) -> None:
    assert reward("star_accuracy")([answer(said)], **row(truth)) == [expected]


def test_star_compares_boxes_in_pixels_of_the_squashed_image() -> None:
    # 20 thousandths of 100 pixels are 2 pixels: below 10, though 20 units are not.
    near = {"bbox_2d": [20, 220, 220, 420], "point_2d": [120, 320]}
    truth = {"bbox_2d": [0, 200, 200, 400], "point_2d": [100, 300]}
    columns = row([LEFT]) | {"solution": [json.dumps([truth])]}
    assert reward("star_accuracy", "relative_1000")([answer([near])], **columns) == [5.0]


def test_an_object_too_small_for_the_squashed_mask_keeps_its_place() -> None:
    columns = row([LEFT, RIGHT])
    ids = np.array(columns["mask"][0])
    ids[ids == 1] = 0
    columns["mask"] = [Image.fromarray(ids)]
    assert reward("star_accuracy")([answer([RIGHT])], **columns) == [3.5]


@pytest.mark.parametrize(
    ("said", "expected"), [([LEFT], 10.0), ([LEFT, FAR], 5.0), ([thing(0, 15)], 6.0), ([], 0.0)]
)
def test_the_second_stage_counts_masks_alone(said: list, expected: float) -> None:
    assert reward("star_stage2_accuracy")([answer(said)], **row([LEFT])) == [expected]


@pytest.mark.parametrize(
    "name", ["matched_mask_iou", "mask_iou_steps", "star_accuracy", "star_stage2_accuracy"]
)
@pytest.mark.parametrize(
    "completion", ["", "no idea", "<answer>[</answer>", answer([{"bbox_2d": [1, 2, 3]}])]
)
def test_a_malformed_completion_earns_nothing(name: str, completion: str) -> None:
    assert reward(name)([completion] * 2, **row([LEFT], 2)) == [0.0, 0.0]
