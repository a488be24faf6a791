"""Each picture is encoded once for all its questions, in batches, and the figures stay the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segzero.metrics import overlap
from segzero.pipeline import SegZero
from segzero.types import Segmentation
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.evaluation.encodings import CAPACITY, Encodings
from segzero_train.evaluation.scoring import evaluate


@pytest.fixture(scope="module")
def demo() -> SegZero:
    return SegZero.load("demo", "cpu")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Six questions: about the first picture two, about another one two."""
    found = list(tabletop.samples("test", 4))
    again = [replace(found[0], question=found[1].question), replace(found[2], name="again")]
    return [found[0], again[0], found[1], found[2], found[3], again[1]]


@pytest.fixture
def encoded(demo: SegZero, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each pass of the image encoder saw."""
    segmenter: Any = demo._models()[1]
    seen: list[int] = []
    encode = segmenter._encode_pixels

    def counting(pixels: Any) -> Any:
        seen.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(segmenter, "_encode_pixels", counting)
    return seen


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_a_picture_is_encoded_once_for_all_its_questions(
    demo: SegZero, samples: list[Sample], encoded: list[int], batch: int
) -> None:
    evaluate(demo, samples, batch)
    assert sum(encoded) == 4
    assert max(encoded) == min(batch, 4)


def test_figures_are_those_of_asking_and_segmenting_each_picture_alone(
    demo: SegZero, samples: list[Sample]
) -> None:
    for sample, result in zip(samples, evaluate(demo, samples, batch=6), strict=True):
        answer = demo.ask(sample.image, sample.question)
        assert isinstance(answer, Segmentation)
        found = overlap(answer.mask() > 0, sample.mask)
        assert (result.text, result.intersection, result.union) == (
            answer.text, found.intersection, found.union
        )  # fmt: skip
        alone = demo.segment(sample.image, sample.objects)
        drawn = [overlap(a.mask, truth) for a, truth in zip(alone, sample.masks, strict=True)]
        assert result.segmenter == [[item.intersection, item.union] for item in drawn]


@pytest.mark.parametrize("shape", [(240, 320), (48, 64), (65, 33)])
def test_pictures_of_any_sizes_are_encoded_together(demo: SegZero, shape: tuple) -> None:
    rng = np.random.default_rng(0)
    sizes = [(240, 320), shape, (100, 20)]
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in sizes]
    _, segmenter = demo._models()
    for image, features in zip(images, demo.encode(images), strict=True):
        alone = segmenter.encode(image)
        for level in ("high_res_0", "high_res_1", "image_embed"):
            expected = getattr(alone, level)
            assert (getattr(features, level) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_last_pictures_are_kept_and_older_ones_forgotten() -> None:
    class Counting:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def encode(self, images: Any) -> list[int]:
            self.seen += [int(image[0, 0, 0]) for image in images]
            return [int(image[0, 0, 0]) for image in images]

    model: Any = Counting()
    encodings = Encodings(model)
    pictures = [np.full((8, 8, 3), number, np.uint8) for number in range(CAPACITY + 1)]
    for number, picture in enumerate(pictures):
        assert encodings.of([picture, pictures[0]], [True, True]) == [number, 0]
    assert model.seen == list(range(CAPACITY + 1))
    encodings.of([pictures[1]], [True])
    assert model.seen[-1] == 1
    assert encodings.of([pictures[2], pictures[3]], [False, False]) == [None, None]
