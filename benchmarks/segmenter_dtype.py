"""`python benchmarks/segmenter_dtype.py`: the masks of SAM 2 in bfloat16 against those in float32.

300 regions in pictures of five sizes, by each model: the demo's segmenter on the objects of the
tabletop, and SAM 2.1 with random weights on random boxes. `image encoder` is what segzero does: the
prompt encoder and the mask decoder stay in float32. `all` has the whole model in bfloat16. All goes
into `benchmarks/results/segmenter-dtype.json`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import models
import numpy as np
import records
import torch
from numpy.typing import NDArray
from transformers import Sam2ImageProcessor, Sam2Processor

from segzero.profiles import load_profile
from segzero.segmentation.sam2_transformers import (
    TransformersSegmenter,
    as_image_model,
    convert_encoders,
)
from segzero.types import Box, GroundedObject, Point
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from segzero_train.datasets.targets import box_and_points

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (2560, 1440))
MODELS = ("demo", "sam2.1-tiny", "sam2.1-large")
Regions = list[tuple[NDArray[np.uint8], list[GroundedObject]]]


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=60, help="of each size; default: 60")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--out", type=Path, default=records.RESULTS / "segmenter-dtype.json")
    options = parser.parse_args()
    if options.regions < 1:
        parser.error("it takes at least one region")
    found = {name: measure(name, SIZES, options.regions) for name in options.models}
    figures: dict[str, Any] = {
        "sizes": [f"{width}x{height}" for width, height in SIZES],
        "regions of each size": options.regions,
        "IoU with float32": found,
    }
    records.record(figures, ("torch", "transformers"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(name: str, sizes: Sequence[tuple[int, int]], count: int) -> dict[str, Any]:
    """IoUs of `count` regions of each size, with the part in bfloat16."""
    segmenters = _segmenters(name)
    find = objects if name == "demo" else boxes
    found: dict[str, list[float]] = {part: [] for part in segmenters if part != "none"}
    empty = 0
    for size in sizes:
        for picture, regions in find(size, count):
            exact, *others = (
                [mask for mask, _ in segmenter.segment(picture, regions)]
                for segmenter in segmenters.values()
            )
            empty += sum(not mask.any() for mask in exact)
            for part, masks in zip(found, others, strict=True):
                found[part] += [_iou(*pair) for pair in zip(exact, masks, strict=True)]
    return {
        "empty masks": empty,
        **{part: _summary(np.array(ious)) for part, ious in found.items()},
    }


def objects(size: tuple[int, int], count: int) -> Regions:
    """Tabletop pictures with the true boxes and points of `count` objects."""
    found: Regions = []
    with TabletopRenderer(*size) as renderer:
        seed = 0
        while count:
            _, frame = draw_usable(renderer, seed, (1, 5), depth=False)
            seed += 1
            masks = [frame.ids == k for k in np.unique(frame.ids[frame.ids > 0])[:count]]
            found.append((frame.rgb, [_grounded(mask) for mask in masks]))
            count -= len(masks)
    return found


def boxes(size: tuple[int, int], count: int) -> Regions:
    """One tabletop picture with random boxes, each with a point inside."""
    rng = np.random.default_rng(size)
    with TabletopRenderer(*size) as renderer:
        _, frame = draw_usable(renderer, 0, (5, 5), depth=False)
    low = rng.uniform(0, 0.7, (count, 2)) * size
    high = low + rng.uniform(0.05, 0.3, (count, 2)) * size
    inside = low + rng.uniform(0.2, 0.8, (count, 2)) * (high - low)
    rounded = np.round(np.hstack([low, high, inside])).tolist()
    return [(frame.rgb, [GroundedObject(Box(*row[:4]), (Point(*row[4:]),)) for row in rounded])]


def _grounded(mask: NDArray[np.bool_]) -> GroundedObject:
    box, points = box_and_points(mask)
    return GroundedObject(Box(*map(float, box)), tuple(Point(*map(float, at)) for at in points))


def _segmenters(name: str) -> dict[str, TransformersSegmenter]:
    """The same weights three times, by what is in bfloat16."""
    if name == "demo":
        folder = Path(load_profile("demo").segmenter)
        loaded = TransformersSegmenter.load(folder, dtype="float32", device=torch.device("cpu"))
        video: Any = loaded._video
        processor = loaded._processor
    else:
        torch.manual_seed(0)
        video = models.sam2(name)
        processor = Sam2Processor(image_processor=Sam2ImageProcessor())
    mixed, half = deepcopy(video), deepcopy(video).bfloat16()
    convert_encoders(mixed, torch.bfloat16)
    return {
        part: TransformersSegmenter(_float_output(as_image_model(model)), processor, model)
        for part, model in (("none", video), ("image encoder", mixed), ("all", half))
    }


def _float_output(model: Any) -> Any:
    """The model with its output in float32, which only a whole model in bfloat16 needs."""
    forward = model.forward

    def converted(**inputs: Any) -> Any:
        output = forward(**inputs)
        output.pred_masks = output.pred_masks.float()
        return output

    model.forward = converted
    return model


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def _summary(ious: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": round(float(ious.mean()), 4),
        "5 %": round(float(np.percentile(ious, 5)), 4),
        "1 %": round(float(np.percentile(ious, 1)), 4),
        "lowest": round(float(ious.min()), 4),
        "below 0.95": int((ious < 0.95).sum()),
    }


if __name__ == "__main__":
    sys.exit(main())
