"""A vote over masks: objects of one answer, pixels of most answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segzero.errors import Cancelled, CheckpointError, MalformedAnswer
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.reasoner import Completion, Sampling
from segzero.types import Box, GroundedObject, SegmentedObject
from segzero.voting import vote


def thing(number: int, *columns: int) -> SegmentedObject:
    """An object whose mask is whole columns of 4 x 12 pixels."""
    mask = np.zeros((4, 12), bool)
    mask[:, list(columns)] = True
    return SegmentedObject(number, Box(0, 0, 4, 4), (), mask, 0.9)


def columns(item: SegmentedObject) -> list[int]:
    return np.flatnonzero(item.mask.all(axis=0)).tolist()


@pytest.mark.parametrize(
    ("one", "others", "expected"),
    [
        ((0, 1, 2), [(1, 2, 3), (2, 3, 4)], [1, 2, 3]),
        ((0, 1), [(0, 1), (1, 2)], [0, 1]),
        ((0, 1, 2), [(1, 2)], [1, 2]),
        ((0, 1), [], [0, 1]),
    ],
    ids=["two of three", "the answer itself votes", "half is not most", "alone"],
)
def test_a_pixel_stays_if_more_than_half_hold_it(
    one: tuple[int, ...], others: list[tuple[int, ...]], expected: list[int]
) -> None:
    (found,) = vote([thing(1, *one)], [[thing(1, *other)] for other in others])
    assert columns(found) == expected


def test_objects_are_matched_whatever_their_order() -> None:
    left, right = (0, 1, 2), (8, 9, 10)
    others = [[thing(1, *right), thing(2, 1, 2)], [thing(1, 0, 1, 2), thing(2, 9, 10)]]
    found = vote([thing(1, *left), thing(2, *right)], others)
    assert [columns(item) for item in found] == [[0, 1, 2], [8, 9, 10]]


def test_an_object_that_most_answers_lack_is_left_out_and_the_others_numbered() -> None:
    others = [[thing(1, 8, 9)], [thing(1, 8, 9)]]
    (found,) = vote([thing(1, 0, 1), thing(2, 8, 9)], others)
    assert (found.id, columns(found)) == (1, [8, 9])


@pytest.mark.parametrize("others", [[[]], [[], []]])
def test_answers_of_nothing_vote_too(others: list[list[SegmentedObject]]) -> None:
    assert vote([thing(1, 0)], others) == ()
    assert vote([], [[thing(1, 0)]]) == ()


BOX = '<think>it</think><answer>[{{"bbox_2d": [{0},0,{1},32], "point_2d": [{0},1]}}]</answer>'


class Scripted:
    """A reasoner of fixed completions: the greedy one, then the sampled ones."""

    model_size = (32, 32)

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.sampling: Sampling | None = None

    def complete(self, *_: Any, **__: Any) -> Completion:
        return Completion(self.texts[0], self.model_size, 1)

    def complete_batch(
        self, images: list[Any], questions: list[str], sampling: Sampling | None = None
    ) -> list[Completion]:
        self.sampling = sampling
        assert len(images) == len(self.texts) - 1
        return [Completion(text, self.model_size, 1) for text in self.texts[1:]]


class Boxes:
    """A segmenter that fills boxes."""

    def encode(self, image: NDArray[np.uint8]) -> None:
        """Needs nothing."""

    def segment(
        self, image: NDArray[np.uint8], objects: list[GroundedObject], encoded: Any = None
    ) -> list[tuple[NDArray[np.bool_], float]]:
        found = []
        for item in objects:
            mask = np.zeros(image.shape[:2], bool)
            assert item.box
            mask[:, int(item.box.x1) : int(item.box.x2)] = True
            found.append((mask, 1.0))
        return found


def voting(*texts: str) -> tuple[SegZero, Scripted]:
    reasoner = Scripted(*texts)
    form = CompletionFormat("vision_reasoner", "absolute_pixels", "round")
    return SegZero(reasoner, Boxes(), form, votes=len(texts)), reasoner  # type: ignore[arg-type]


IMAGE = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((BOX.format(0, 20), BOX.format(10, 30), BOX.format(12, 32)), range(10, 30)),
        ((BOX.format(0, 20), BOX.format(0, 10), "no answer"), range(10)),
        ((BOX.format(0, 20), "no answer", "no answer"), range(20)),
    ],
    ids=["three answers", "one malformed", "the greedy one alone"],
)
def test_a_question_gets_the_masks_that_most_answers_agree_on(
    texts: tuple[str, ...], expected: range
) -> None:
    segzero, reasoner = voting(*texts)
    result = segzero.ask(IMAGE, "the thing")
    (found,) = result.objects
    assert columns_of(found.mask) == list(expected)
    assert result.text == texts[0]
    assert reasoner.sampling is not None and reasoner.sampling.temperature == 1


def columns_of(mask: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(mask.all(axis=0)).tolist()


def test_a_malformed_greedy_answer_is_an_error_whatever_the_others_say() -> None:
    segzero, _ = voting("no answer", BOX.format(0, 9), BOX.format(0, 9))
    with pytest.raises(MalformedAnswer):
        segzero.ask(IMAGE, "the thing")


def test_a_vote_can_be_stopped_before_it_is_counted() -> None:
    class Set:
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 1

    segzero, _ = voting(BOX.format(0, 9), BOX.format(0, 9))
    with pytest.raises(Cancelled):
        segzero.ask(IMAGE, "the thing", stop=Set())  # type: ignore[arg-type]


@pytest.mark.parametrize("votes", ["0", "-3", "65", "many", "1.5"])
def test_impossible_votes_are_refused(votes: str, tmp_path: Path) -> None:
    demo = load_profile("demo")
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"summary: s\nreasoner: {demo.reasoner}\nsegmenter: {demo.segmenter}\nprompt: seg_zero\n"
        f"answer_format: seg_zero\ncoordinates: relative_1000\nrounding: round\nvotes: {votes}\n"
    )
    with pytest.raises(CheckpointError, match="votes in the profile"):
        load_profile(file)
