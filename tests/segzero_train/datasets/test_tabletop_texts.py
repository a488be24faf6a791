import numpy as np
import pytest

from segzero.reasoning.answers import parse
from segzero_sim.questions import Question, SeenObject
from segzero_train.datasets.tabletop_texts import (
    ALL_CATEGORIES,
    ANSWER_FORMAT,
    completion,
    pick_question,
)
from segzero_train.demo.frames import Frames
from segzero_train.demo.tokenizer import LARGEST_NUMBER, make_tokenizer

BALL = SeenObject(1, "ball", "red", 0.05, box=(0.6, 0.2, 0.7, 0.3), point=(0.65, 0.25))
MUG = SeenObject(2, "mug", "blue", 0.05, box=(0.1, 0.4, 0.3, 0.7), point=(0.2, 0.5))


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def test_the_thought_lists_the_table_from_left_to_right() -> None:
    text = completion((BALL, MUG), Question(1, "the red ball", (1,)))
    assert parse(text, ANSWER_FORMAT).reasoning == (
        "blue mug [100,400,300,700]; red ball [600,200,700,300]. match: red ball [600,200,700,300]."
    )


def test_the_answer_holds_box_and_point_of_what_matches() -> None:
    text = completion((BALL, MUG), Question(1, "the red ball", (1,)))
    (found,) = parse(text, ANSWER_FORMAT).objects
    assert (found.box.x1, found.box.y1, found.box.x2, found.box.y2) == (600, 200, 700, 300)
    assert (found.points[0].x, found.points[0].y) == (648, 248)


def test_nothing_there_is_an_empty_answer() -> None:
    answer = parse(completion((BALL, MUG), Question(5, "the cone", ())), ANSWER_FORMAT)
    assert answer.objects == ()
    assert answer.reasoning.endswith("match: none.")


def test_all_categories_are_asked(frames: Frames) -> None:
    rng = np.random.default_rng(0)
    asked = [pick_question(frames.seen(i % 24), ALL_CATEGORIES, rng) for i in range(200)]
    assert {question.category for question in asked if question} == {1, 2, 3, 4, 5}


def test_a_category_that_the_table_does_not_allow_gives_no_question() -> None:
    assert pick_question((BALL,), {4: 1.0}, np.random.default_rng(0)) is None


def test_every_number_is_one_token(tokenizer) -> None:
    ids = [tokenizer(str(number))["input_ids"] for number in range(LARGEST_NUMBER + 1)]
    assert {len(row) for row in ids} == {1}
    assert len({row[0] for row in ids}) == LARGEST_NUMBER + 1


def test_what_is_learnt_is_short_and_survives_the_tokenizer(frames: Frames, tokenizer) -> None:
    rng = np.random.default_rng(1)
    for index in range(24):
        seen = frames.seen(index)
        question = pick_question(seen, ALL_CATEGORIES, rng)
        assert question is not None
        text = completion(seen, question)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert len(ids) < 40 * (len(seen) + 1)


@pytest.mark.parametrize("text", ["naïve café", "日本語", "x" * 300, "12345", "<|im_end|", "\t \n"])
def test_any_text_survives_the_tokenizer(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
