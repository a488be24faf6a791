"""Samples asked and compared with their ground truth."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segzero.errors import MalformedAnswer
from segzero.metrics import IGNORE, Overlap, overlap
from segzero.pipeline import SegZero
from segzero.types import Segmentation, SegmentedObject
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData

Numbered = tuple[int, Sample]
"""A sample with its place in the dataset."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one sample; every field is JSON as it stands.

    index: its place in the dataset. name, category: the sample's.
    intersection, union: of the predicted mask and the true one, in pixels that count.
    segmenter: intersection and union of each object, drawn from its true box and points.
    malformed: why the completion holds no answer; empty if it holds one.
    text: the completion.
    objects: of each predicted object x1, y1, x2, y2 and then x, y of its points, in pixels.
    """

    index: int
    name: str
    category: str
    intersection: int
    union: int
    segmenter: Sequence[Sequence[int]]
    malformed: str
    text: str
    objects: Sequence[Sequence[float]]

    @property
    def overlap(self) -> Overlap:
        """As `metrics.summarize` takes it."""
        return Overlap(self.intersection, self.union, failed=bool(self.malformed))


def evaluate(model: SegZero, samples: Iterable[Sample], batch: int = 1) -> list[Result]:
    """Ask every question, `batch` at a time; results in the order of the samples.

    An answer that can't be parsed counts as an empty one that failed. Raises as `judge`.
    """
    return [
        result
        for chunk in chunks(enumerate(samples), batch)
        for result in score_batch(model, chunk)
    ]


def score_batch(model: SegZero, samples: Sequence[Numbered]) -> list[Result]:
    """Ask about all of the samples at once.

    Raises BadImage, BadQuestion or BadData if one of them can't be asked about, before any model
    runs; DeviceOutOfMemory if they are too many.
    """
    for _, sample in samples:
        if len(sample.objects) != len(sample.masks):
            raise BadData(
                f"row {sample.name}: the solution has {len(sample.objects)} objects, the mask "
                f"{len(sample.masks)}"
            )
    answers = model.ask_batch(
        [sample.image for _, sample in samples], [sample.question for _, sample in samples]
    )
    return [
        _result(model, index, sample, answer)
        for (index, sample), answer in zip(samples, answers, strict=True)
    ]


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one maybe shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _result(
    model: SegZero, index: int, sample: Sample, answer: Segmentation | MalformedAnswer
) -> Result:
    if isinstance(answer, MalformedAnswer):
        malformed, predicted, objects = answer.reason, None, []
    else:
        malformed, predicted = "", answer.mask() > 0
        objects = [_numbers(item) for item in answer.objects]
    found = overlap(predicted, sample.mask)
    alone = model.segment(sample.image, sample.objects)
    drawn = [
        overlap(item.mask, _counted(ground_truth, sample.ignored))
        for item, ground_truth in zip(alone, sample.masks, strict=True)
    ]
    return Result(
        index=index,
        name=sample.name,
        category=sample.category,
        intersection=found.intersection,
        union=found.union,
        segmenter=[[item.intersection, item.union] for item in drawn],
        malformed=malformed,
        text=answer.text,
        objects=objects,
    )


def _counted(ground_truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None) -> NDArray:
    return (
        ground_truth
        if ignored is None
        else np.where(ignored, IGNORE, ground_truth).astype(np.uint8)
    )


def _numbers(item: SegmentedObject) -> list[float]:
    box = item.box
    points = [value for point in item.points for value in (point.x, point.y)]
    return [box.x1, box.y1, box.x2, box.y2, *points]
