"""`python benchmarks/evaluate.py`: what does an evaluation cost, and is it the same one?

The demo answers questions about tabletops, enlarged to 640×480. `after` is the evaluation as it is:
each picture is encoded for the segmenter once, and a batch of them together. `before` is how it
was: encoded for the answer, and again for the segmenter alone, one at a time. Both take turns,
batch by batch, on the same weights. `reasoner` is the part of the time that both have in common.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import records
from tqdm import tqdm

from segzero.pipeline import SegZero
from segzero.types import Box, GroundedObject, Point
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.evaluation.encodings import Encodings
from segzero_train.evaluation.scoring import Numbered, Result, chunks, score_batch

SCALE = 2
"""From the tabletop's 320×240 to 640×480."""


class OneByOne(Encodings):
    """The evaluation as it was: no picture's encoding is kept."""

    def of(self, images: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
        """Nothing: whoever needs an encoding makes it."""
        return [None] * len(images)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "evaluate.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    model = SegZero.load(options.profile, options.device)
    figures = measure(model, options.pictures, options.batch)
    records.record(figures, ("torch", "transformers", "numpy"), options.out)
    print(records.table([("", "value"), *figures.items()]))
    return 0


def measure(model: SegZero, pictures: int, batch: int) -> dict[str, Any]:
    """Evaluate both ways; seconds are per picture, and memory is the process's peak."""
    ways = {"before": OneByOne(model), "after": Encodings(model)}
    seconds = dict.fromkeys((*ways, "reasoner"), 0.0)
    found: dict[str, list[Result]] = {way: [] for way in ways}
    samples = enlarged(pictures)
    first = next(chunks(enumerate(enlarged(1)), 1))
    for encodings in ways.values():
        score_batch(model, first, encodings, 1)  # checks and kernels are not counted
    reasoner, _ = model._models()
    for number, chunk in enumerate(tqdm(chunks(enumerate(samples), batch))):
        for way in sorted(ways, reverse=number % 2 == 0):
            start = time.perf_counter()
            found[way] += score_batch(model, chunk, ways[way], batch)
            seconds[way] += time.perf_counter() - start
        seconds["reasoner"] += reason(reasoner, chunk)
    differing = sum(a != b for a, b in zip(found["before"], found["after"], strict=True))
    return {
        "pictures": pictures,
        "batch": batch,
        **{f"{name} [s a picture]": round(value / pictures, 4) for name, value in seconds.items()},
        "times faster": round(seconds["before"] / seconds["after"], 2),
        "results that differ": differing,
        "largest difference in IoU": round(
            max(
                abs(a.overlap.iou - b.overlap.iou)
                for a, b in zip(found["before"], found["after"], strict=True)
            ),
            4,
        ),
        "peak memory [MB]": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def reason(reasoner: Any, chunk: Sequence[Numbered]) -> float:
    """Seconds that the completions alone take."""
    start = time.perf_counter()
    reasoner.complete_batch([item.image for _, item in chunk], [item.question for _, item in chunk])
    return time.perf_counter() - start


def enlarged(size: int) -> Iterator[Sample]:
    """The tabletop's samples, SCALE times as wide and high."""
    for sample in tabletop.samples("test", size):
        height, width = sample.image.shape[:2]
        masks = tuple(mask.repeat(SCALE, 0).repeat(SCALE, 1) for mask in sample.masks)
        image = cv2.resize(sample.image, (width * SCALE, height * SCALE))
        objects = tuple(_scaled(item) for item in sample.objects)
        yield replace(sample, image=np.asarray(image, np.uint8), masks=masks, objects=objects)


def _scaled(item: GroundedObject) -> GroundedObject:
    box = item.box
    assert box
    sides = (box.x1, box.y1, box.x2, box.y2)
    points = tuple(Point(point.x * SCALE, point.y * SCALE) for point in item.points)
    return GroundedObject(Box(*(SCALE * side for side in sides)), points, item.label)


if __name__ == "__main__":
    sys.exit(main())
