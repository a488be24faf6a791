"""Pictures of the worst answers: the ground truth on the left, the prediction on the right."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero import overlay
from segzero.pipeline import SegZero
from segzero.types import Box, GroundedObject, Point, Segmentation, SegmentedObject
from segzero_train.datasets.sample import Sample
from segzero_train.evaluation.runner import Loaded, write_text
from segzero_train.evaluation.scoring import Result


def write_worst(
    folder: Path,
    model: SegZero,
    load: Callable[[Iterable[int]], Iterator[Loaded]],
    results: Sequence[Result],
    count: int,
) -> None:
    """Write pictures of the worst results and an index with their completions.

    The worst has the lowest IoU; among equals, the larger union.

    Args:
        folder: Where the files go; earlier pictures in it are deleted.
        model: Segments the predicted objects again.
        load: As `runner.Source.load`.
        results: All results.
        count: How many to draw.
    """
    worst = sorted(results, key=lambda item: (item.overlap.iou, -item.union, item.index))[:count]
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    lines = ["# The worst answers", "", "Ground truth on the left, prediction on the right.", ""]
    samples = dict(
        item for item in load(sorted(item.index for item in worst)) if isinstance(item, tuple)
    )
    for number, result in enumerate(worst, start=1):
        sample = samples.get(result.index)
        if sample is None:
            continue  # the row was whole when it was asked about
        name = f"{number:02d}.png"
        Image.fromarray(draw(model, sample, result)).save(folder / name)
        lines += [
            f"## {number}. {sample.question}",
            "",
            f"{sample.name}, category {sample.category}, IoU {result.overlap.iou:.3f}"
            + (f"; malformed: {result.malformed}" if result.malformed else ""),
            "",
            f"![ground truth and prediction]({name})",
            "",
            *(f"    {line}" for line in result.text.splitlines()),
            "",
        ]
    write_text(folder / "index.md", "\n".join(lines))


def draw(model: SegZero, sample: Sample, result: Result) -> NDArray[np.uint8]:
    """Draw a sample's ground truth beside its result.

    Args:
        model: Segments the predicted objects again.
        sample: What was asked.
        result: What was answered.

    Returns:
        (H', 2·W, 3) uint8 RGB; each half has its text below the image.
    """
    ground_truth = tuple(
        SegmentedObject(number, item.box, item.points, mask, score=1.0)
        for number, (item, mask) in enumerate(
            zip(sample.objects, sample.masks, strict=True), start=1
        )
        if item.box
    )
    predicted = model.segment(sample.image, [_object(numbers) for numbers in result.objects])
    sides = [
        _side(sample, sample.question, ground_truth),
        _side(sample, f"IoU {result.overlap.iou:.2f}: {result.text}", predicted),
    ]
    height = max(side.shape[0] for side in sides)
    return np.hstack(
        [np.pad(side, ((0, height - side.shape[0]), (0, 0), (0, 0))) for side in sides]
    )


def _side(sample: Sample, text: str, objects: tuple[SegmentedObject, ...]) -> NDArray[np.uint8]:
    height, width = sample.image.shape[:2]
    return overlay.draw(sample.image, Segmentation(text, "", "", (width, height), objects))


def _object(numbers: Sequence[float]) -> GroundedObject:
    x1, y1, x2, y2, *rest = numbers
    points = tuple(Point(x, y) for x, y in zip(rest[::2], rest[1::2], strict=True))
    return GroundedObject(Box(x1, y1, x2, y2), points)
