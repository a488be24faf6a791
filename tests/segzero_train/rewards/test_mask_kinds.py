"""Training with masks of other kinds: the right answer earns most, and a misfit row is named."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from segzero.loading import load_segmenter
from segzero.profiles import load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero_train.datasets import tabletop
from segzero_train.datasets.masks import mask_image
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData
from segzero_train.rewards import RewardContext, RewardFunction, build_rewards
from segzero_train.training.preprocessing import model_space, training_row

SIDE = 256


def answer(objects: list[dict[str, Any]]) -> str:
    return f"<think>It is there.</think><answer>{json.dumps(objects)}</answer>"


def right(sample: Sample) -> str:
    """The completion with the true boxes and points, in thousandths."""
    height, width = sample.mask.shape
    x, y = 1000 / width, 1000 / height
    return answer(
        [
            {
                "bbox_2d": [round(b.x1 * x), round(b.y1 * y), round(b.x2 * x), round(b.y2 * y)],
                "point_2d": [round(item.points[0].x * x), round(item.points[0].y * y)],
            }
            for item in sample.objects
            for b in [item.box]
        ]
    )


@pytest.fixture(scope="module")
def mask_iou() -> RewardFunction:
    segmenter = load_segmenter(load_profile("demo"), torch.device("cpu"))
    written = CompletionFormat("vision_reasoner", "relative_1000")
    (function,), _ = build_rewards(["mask_iou"], RewardContext((SIDE, SIDE), written, segmenter))
    return function


@pytest.fixture(scope="module")
def sample() -> Sample:
    return next(tabletop.samples("test", 1))


def stored(kind: str, mask: np.ndarray) -> Any:
    white = Image.fromarray((mask * 255).astype(np.uint8))
    if kind == "0 and 255":
        return white
    if kind == "0 and 1":
        return Image.fromarray(mask.astype(np.uint8))
    if kind == "mode 1":
        return white.convert("1")
    if kind == "grey RGB":
        return white.convert("RGB")
    if kind == "rows of booleans":
        return mask.tolist()
    buffer = io.BytesIO()
    white.save(buffer, "JPEG", quality=90)
    return {"bytes": buffer.getvalue(), "path": None}


KINDS = ("0 and 255", "0 and 1", "mode 1", "grey RGB", "rows of booleans", "JPEG")


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_answer_earns_most_whatever_the_mask(
    mask_iou: RewardFunction, sample: Sample, kind: str
) -> None:
    wrong = answer([{"bbox_2d": [0, 0, 90, 90], "point_2d": [40, 40]}])
    columns: dict[str, Any] = {
        "solution": ["[]"] * 3,
        "image": [Image.fromarray(sample.image)] * 3,
        "mask": [stored(kind, sample.mask > 0)] * 3,
        "id": ["r"] * 3,
    }
    good, bad, empty = mask_iou([right(sample), wrong, answer([])], **columns)
    assert good > 0.7
    assert bad < 0.1
    assert empty == 0


def test_pixels_that_are_marked_as_not_counted_are_no_object(
    mask_iou: RewardFunction, sample: Sample
) -> None:
    void = mask_image((255 * (sample.mask > 0)).astype(np.uint8))
    columns: dict[str, Any] = {
        "solution": ["[]"],
        "image": [Image.fromarray(sample.image)],
        "mask": [void],
    }
    assert mask_iou([answer([])], **columns) == [1.0]


def rows() -> list[dict[str, Any]]:
    return tabletop.row_dicts("test", range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_training_rows_hold_ids_whatever_the_mask(kind: str) -> None:
    profile = load_profile("demo")
    space = model_space(profile, AutoProcessor.from_pretrained(Path("checkpoints/demo/reasoner")))
    row = rows()[0]
    ids = np.asarray(Image.open(io.BytesIO(row["mask"]["bytes"])))
    made = training_row(row | {"mask": stored(kind, ids > 0)}, space)
    same = training_row(row, space)
    different = np.asarray(made["mask"]) != np.asarray(same["mask"])
    assert different.sum() <= (0 if kind != "JPEG" else 200)
    assert set(np.unique(made["mask"]).tolist()) == {0, 1}


@pytest.mark.parametrize("misfit", ["no id", "void only", "two ids", "one id of several"])
def test_a_row_whose_mask_does_not_fit_its_solution_is_named(misfit: str) -> None:
    profile = load_profile("demo")
    space = model_space(profile, AutoProcessor.from_pretrained(Path("checkpoints/demo/reasoner")))
    row = rows()[3 if misfit == "one id of several" else 0]
    ids = np.array(Image.open(io.BytesIO(row["mask"]["bytes"])))
    if misfit == "no id":
        ids[:] = 0
    elif misfit == "void only":
        ids[ids > 0] = 255
    elif misfit == "two ids":
        ids[:20, :20] = 2
    else:
        ids[ids > 1] = 0
    picture = mask_image(ids)
    with pytest.raises(BadData, match=f"row {row['id']}: "):
        training_row(row | {"mask": picture}, space)
