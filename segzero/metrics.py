"""gIoU and cIoU of predicted masks, with 95 % intervals.

With the intersection I and the union U of each image in pixels, gIoU is the mean of I/U over the
images and cIoU is ΣI/ΣU. Two conventions are in use and give different numbers; say which:

- `lisa`: I/(U + 1e-5); an empty prediction for an empty ground truth scores 1; pixels marked 255 in
  the ground truth are left out of both.
- `seg_zero`: images whose union is empty are skipped.

An unparsable answer counts as an empty prediction (I = 0, U = area of the ground truth); under
`lisa` it scores 0 even where the ground truth is empty.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Convention = Literal["lisa", "seg_zero"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
IGNORE = 255
"""The value of pixels in a uint8 ground truth that are not counted."""
_Score = Callable[[NDArray[np.int64]], float]
"""From (n,) indices of items, in which an item can stand several times, to their score."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Intersection and union of the masks of one image.

    Attributes:
        intersection: Pixels in both masks.
        union: Pixels in either mask.
        failed: Whether there was no usable answer.
    """

    intersection: int
    union: int
    failed: bool = False

    @property
    def iou(self) -> float:
        """I/U in [0, 1]; 1 if both masks are empty."""
        if self.union == 0:
            return 0.0 if self.failed else 1.0
        return self.intersection / self.union


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its 95 % interval; all are NaN if there was nothing to score.

    Attributes:
        value: The score of all items.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The scores over images.

    Attributes:
        giou: Mean of I/U, in [0, 1].
        ciou: ΣI/ΣU, in [0, 1].
        n: How many images were counted.
    """

    giou: Estimate
    ciou: Estimate
    n: int


def overlap(prediction: NDArray[np.bool_] | None, ground_truth: NDArray[Any]) -> Overlap:
    """Compare one prediction with the ground truth.

    Args:
        prediction: (H, W) bool, or None if the answer could not be parsed.
        ground_truth: (H, W) bool, or uint8: 0 is outside, 255 is not counted, others are inside.

    Returns:
        Intersection and union in pixels.

    Raises:
        ValueError: The two differ in shape.
    """
    counted = (
        ground_truth != IGNORE
        if ground_truth.dtype == np.uint8
        else np.ones(ground_truth.shape, bool)
    )
    target = (ground_truth != 0) & counted
    if prediction is None:
        return Overlap(0, int(target.sum()), failed=True)
    if prediction.shape != ground_truth.shape:
        raise ValueError(
            f"prediction {prediction.shape} and ground truth {ground_truth.shape} differ in shape"
        )
    predicted = prediction.astype(bool) & counted
    return Overlap(int((predicted & target).sum()), int((predicted | target).sum()))


def summarize(
    overlaps: Sequence[Overlap],
    convention: Convention = "lisa",
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Summary:
    """Compute gIoU and cIoU over images.

    Args:
        overlaps: One for each image.
        convention: How images without any object count, see the module.
        resamples: Samples of the percentile bootstrap over images (Efron 1979).
        seed: Of the bootstrap; the same seed gives the same intervals.

    Returns:
        Both scores with their intervals.

    Raises:
        ValueError: The convention is unknown.
    """
    counted = [item for item in overlaps if convention == "lisa" or item.union > 0]
    giou, ciou = _scorers(counted, convention)
    n = len(counted)
    return Summary(bootstrap(giou, n, resamples, seed), bootstrap(ciou, n, resamples, seed), n)


def summarize_samples(
    groups: Sequence[Sequence[Overlap]],
    convention: Convention = "lisa",
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Summary:
    """Compute gIoU and cIoU over several answers to each question.

    Args:
        groups: For each image as many overlaps as for the others, one for each answer.
        convention: How images without any object count, see the module.
        resamples: Samples of the percentile bootstrap; images are drawn, with all their answers.
        seed: Of the bootstrap; the same seed gives the same intervals.

    Returns:
        Both scores over all answers with their intervals; `n` counts images.

    Raises:
        ValueError: The convention is unknown, or the groups differ in length.
    """
    if len(sizes := {len(group) for group in groups}) > 1:
        raise ValueError(f"images with {sorted(sizes)} answers: each needs as many")
    count = sizes.pop() if sizes else 1
    scorers = _scorers([item for group in groups for item in group], convention)
    giou, ciou = (
        bootstrap(_grouped(score, count), len(groups), resamples, seed) for score in scorers
    )
    return Summary(giou, ciou, len(groups))


def _grouped(score: _Score, count: int) -> _Score:
    return lambda pick: score((pick[:, None] * count + np.arange(count)).ravel())


def difference(
    ours: Sequence[Overlap],
    theirs: Sequence[Overlap],
    convention: Convention = "lisa",
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Summary:
    """Compare two models on the same images: how much higher are the scores of `ours`?

    Images are drawn, each with both answers: what makes an image hard for both cancels out.

    Args:
        ours: One for each image.
        theirs: One for each image, in the same order.
        convention: How images without any object count, see the module.
        resamples: Samples of the paired percentile bootstrap over images (Efron 1979).
        seed: Of the bootstrap; the same seed gives the same intervals.

    Returns:
        The differences of both scores with their intervals; `n` counts all images.

    Raises:
        ValueError: The convention is unknown, or the two differ in length.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} images can't be compared with {len(theirs)}")
    pairs = zip(_scorers(ours, convention), _scorers(theirs, convention), strict=True)
    giou, ciou = (bootstrap(_minus(a, b), len(ours), resamples, seed) for a, b in pairs)
    return Summary(giou, ciou, len(ours))


def _minus(a: _Score, b: _Score) -> _Score:
    return lambda pick: a(pick) - b(pick)


def _scorers(overlaps: Sequence[Overlap], convention: Convention) -> tuple[_Score, _Score]:
    """gIoU and cIoU as functions of (n,) indices of images; NaN if none of them counts."""
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown convention {convention!r}; there are {', '.join(CONVENTIONS)}")
    inter = np.array([item.intersection for item in overlaps], np.float64)
    union = np.array([item.union for item in overlaps], np.float64)
    counted = np.full(len(union), True) if convention == "lisa" else union > 0
    if convention == "lisa":
        blank = np.array([item.union == 0 and not item.failed for item in overlaps], bool)
        ious = np.where(blank, 1.0, inter / (union + 1e-5))
    else:
        ious = inter / np.where(counted, union, 1)

    def giou(pick: NDArray[np.int64]) -> float:
        kept = pick[counted[pick]]
        return float(ious[kept].mean()) if kept.size else math.nan

    def ciou(pick: NDArray[np.int64]) -> float:
        kept = pick[counted[pick]]
        total = union[kept].sum()
        # Nothing anywhere: as good as the single images say.
        return float(inter[kept].sum() / total) if total > 0 else giou(pick)

    return giou, ciou


def bootstrap(score: _Score, n: int, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Compute a score of n items and its 95 % percentile bootstrap interval (Efron 1979).

    Args:
        score: Takes (n,) int64 indices of items, in which an item can stand several times.
        n: How many items there are.
        resamples: How many samples of n items are drawn with replacement.
        seed: Of the draws.

    Returns:
        The score of all items, each once, with its interval; NaN if n is 0 or no item has a score.
    """
    value = score(np.arange(n)) if n else math.nan
    if math.isnan(value):
        return Estimate(value, value, value)
    rng = np.random.default_rng(seed)
    values = [score(rng.integers(n, size=n)) for _ in range(resamples)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
