"""Ask about samples and compare the answers with their ground truth."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segzero.errors import MalformedAnswer
from segzero.metrics import IGNORE, Overlap, overlap
from segzero.pipeline import SegZero
from segzero.types import Segmentation, SegmentedObject
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData
from segzero_train.evaluation.encodings import Encodings
from segzero_train.evaluation.votes import Draws, majority, numbers

Numbered = tuple[int, Sample]
"""A sample with its place in the dataset."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one sample; each field can be written as JSON.

    Attributes:
        index: Its number in the dataset.
        name: Of the sample.
        category: Of the sample.
        intersection: Of predicted and true mask, in pixels that count.
        union: Likewise.
        segmenter: Intersection and union for each object, segmented from its true box and points.
        malformed: Why the completion holds no answer; empty if it holds one.
        text: The completion.
        objects: For each predicted object x1, y1, x2, y2, then x, y of its points, in pixels.
        ignored: Pixels that didn't count.
        question: Of the sample; "" in folders of older versions, as the next two.
        asked: A fingerprint of picture, question and ground truth.
        batch: How many questions were asked at once; 0 if it isn't known.
        samples: Of each sampled answer intersection, union, and 1 if it is malformed.
        vote: The same of the majority of the sampled masks.
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
    ignored: int = 0
    question: str = ""
    asked: str = ""
    batch: int = 0
    samples: Sequence[Sequence[int]] = field(default_factory=list)
    vote: Sequence[int] = field(default_factory=list)

    @property
    def overlap(self) -> Overlap:
        """The input of `metrics.summarize`."""
        return Overlap(self.intersection, self.union, failed=bool(self.malformed))


def evaluate(model: SegZero, samples: Iterable[Sample], batch: int = 1) -> list[Result]:
    """Ask about all samples.

    A malformed answer counts as an empty one that failed.

    Args:
        model: Answers the questions.
        samples: What to ask.
        batch: How many questions are asked at once.

    Returns:
        One result for each sample, in their order.

    Raises:
        BadImage, BadQuestion, BadData, DeviceOutOfMemory: As `score_batch`.
    """
    encodings = Encodings(model)
    return [
        result
        for chunk in chunks(enumerate(samples), batch)
        for result in score_batch(model, chunk, encodings, batch)
    ]


def score_batch(
    model: SegZero,
    samples: Sequence[Numbered],
    encodings: Encodings,
    batch: int = 0,
    draws: Draws | None = None,
) -> list[Result]:
    """Ask about several samples at once.

    Args:
        model: Answers the questions.
        samples: What to ask.
        encodings: Of the model: one for all batches.
        batch: Is written into the results: the last samples of a set may be fewer.
        draws: Answers to sample besides the greedy one.

    Returns:
        One result for each sample, in their order.

    Raises:
        BadImage, BadQuestion, BadData: A sample can't be used; raised before any model runs.
        DeviceOutOfMemory: The batch is too large.
    """
    for _, sample in samples:
        if len(sample.objects) != len(sample.masks):
            raise BadData(
                f"row {sample.name}: the solution has {len(sample.objects)} objects, the mask "
                f"{len(sample.masks)}"
            )
    images = [sample.image for _, sample in samples]
    # Where nothing is to be found, a right answer needs no encoding.
    needed = [bool(sample.objects) or draws is not None for _, sample in samples]
    encoded = encodings.of(images, needed)
    questions = [sample.question for _, sample in samples]
    answers = model.ask_batch(images, questions, encoded=encoded)
    results = [
        _result(model, index, sample, answer, known, batch)
        for (index, sample), answer, known in zip(samples, answers, encoded, strict=True)
    ]
    if draws is None:
        return results
    drawn = [
        model.ask_batch(images, questions, encoded=encoded, sampling=sampling)
        for sampling in draws.samplings(samples[0][0])
    ]
    return [
        _with_samples(result, sample, answers_of_one)
        for result, (_, sample), answers_of_one in zip(
            results, samples, zip(*drawn, strict=True), strict=True
        )
    ]


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split items into lists of `size`; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def fingerprint(sample: Sample) -> str:
    """Tells a sample by its picture, question and ground truth, whatever it is called."""
    found = hashlib.sha256(sample.question.encode())
    for array in (sample.image, sample.mask):
        found.update(str(array.shape).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def _result(
    model: SegZero,
    index: int,
    sample: Sample,
    answer: Segmentation | MalformedAnswer,
    encoded: Any,
    batch: int,
) -> Result:
    if isinstance(answer, MalformedAnswer):
        malformed, objects = answer.reason, []
    else:
        malformed, objects = "", [_numbers(item) for item in answer.objects]
    found = overlap(_mask(answer), sample.mask)
    alone = model.segment(sample.image, sample.objects, encoded=encoded)
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
        ignored=int((sample.mask == IGNORE).sum()),
        question=sample.question,
        asked=fingerprint(sample),
        batch=batch,
    )


def _with_samples(
    result: Result, sample: Sample, answers: Sequence[Segmentation | MalformedAnswer]
) -> Result:
    masks = [_mask(answer) for answer in answers]
    truth = sample.mask
    return replace(
        result,
        samples=[numbers(overlap(mask, truth)) for mask in masks],
        vote=numbers(overlap(majority(masks), truth)),
    )


def _mask(answer: Segmentation | MalformedAnswer) -> NDArray[np.bool_] | None:
    return None if isinstance(answer, MalformedAnswer) else answer.mask() > 0


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
