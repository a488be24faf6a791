"""Several sampled answers to a question: their mean, the best of them, and a vote over masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import Convention, Overlap, Summary, summarize, summarize_samples
from segzero.reasoning.reasoner import Sampling


@dataclass(frozen=True, slots=True)
class Draws:
    """How many answers to a question are sampled, and how.

    Attributes:
        count: At least 1.
        temperature: Above 0.
        seed: The same one repeats a run with the same batches on the same device.
    """

    count: int
    temperature: float
    seed: int

    def samplings(self, index: int) -> list[Sampling]:
        """One for each sample of a batch that begins with row `index`."""
        state = np.random.SeedSequence((self.seed, index)).generate_state(self.count)
        return [Sampling(self.temperature, int(word) >> 1) for word in state]  # 31 bits


def majority(masks: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """The pixels that more than half of the usable answers hold; None if none is usable.

    StAR (arXiv 2603.14382) votes over objects of several answers; this is the plain vote.

    Args:
        masks: (H, W) bool of each answer, None for a malformed one.

    Returns:
        (H, W) bool.
    """
    usable = [mask for mask in masks if mask is not None]
    if not usable:
        return None
    return np.greater(np.sum(usable, axis=0, dtype=np.int32) * 2, len(usable))


def summaries(results: Sequence[Any], convention: Convention) -> dict[str, Summary]:
    """The scores of results with samples, by their names in tables; empty without samples.

    Args:
        results: At least one `scoring.Result`.
        convention: One of `metrics.CONVENTIONS`.

    Returns:
        The mean over all samples, the best sample of each question by its IoU, and the vote.
    """
    counts = {len(item.samples) for item in results}
    if counts == {0}:
        return {}
    groups = [[_overlap(numbers) for numbers in item.samples] for item in results]
    best = [max(group, key=lambda item: item.iou) for group in groups]
    (count,) = counts
    return {
        f"mean of {count} samples": summarize_samples(groups, convention),
        f"best of {count}": summarize(best, convention),
        f"majority of {count}": summarize([_overlap(item.vote) for item in results], convention),
    }


def numbers(item: Overlap) -> list[int]:
    """An overlap as JSON."""
    return [item.intersection, item.union, int(item.failed)]


def _overlap(given: Sequence[int]) -> Overlap:
    intersection, union, failed = given
    return Overlap(intersection, union, failed=bool(failed))
