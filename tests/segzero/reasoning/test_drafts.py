"""Drafts from the format: fewer steps, and never another text."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning.answers import FORMATS, LAYOUTS, AnswerFormat, format_answer
from segzero.reasoning.decoder import Decoder
from segzero.reasoning.drafts import Drafts
from segzero.types import Box, GroundedObject, Point
from segzero_sim.questions import look, sample_question
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from tests.segzero import qwen_tokenizer
from tests.segzero.reasoning.decoding import decoded, prompt, settings


@pytest.fixture(scope="module")
def published(qwen_tokenizer_file: Path) -> Any:
    return qwen_tokenizer.load(qwen_tokenizer_file, "qwen2_5_vl")


@pytest.fixture(scope="module")
def demo() -> SegZero:
    return SegZero.load(replace(load_profile("demo"), drafts="answer_format"), "cpu")


def completion(answer_format: AnswerFormat, count: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    points = 2 if LAYOUTS[answer_format].keys == "seg_zero" else 1
    objects = []
    for _ in range(count):
        numbers = rng.integers(0, 1000, 8).tolist()
        at = (Point(*numbers[4:6]), Point(*numbers[6:8]))[:points]
        objects.append(GroundedObject(Box(*numbers[:4]), at))
    return format_answer("The red ball is left of the box.", objects, answer_format)


def steps(tokenizer: Any, answer_format: AnswerFormat, text: str) -> tuple[int, int]:
    """Tokens of an answer, and the steps that they take if its drafts are verified."""
    drafts = Drafts(tokenizer, answer_format)
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    start = len(tokenizer(text[: text.index("<answer>")], add_special_tokens=False)["input_ids"])
    taken, at = 0, 0
    while at < len(tokens):
        drafts.push(tokens[at])
        guess = drafts.guess()
        taken += at >= start
        at += 1
        for guessed in guess:
            if at == len(tokens) or tokens[at] != guessed:
                break
            drafts.push(guessed)
            at += 1
    return len(tokens) - start, taken


@pytest.mark.parametrize(("count", "tokens", "least"), [(1, 43, 24), (3, 121, 72), (10, 394, 240)])
def test_an_answer_of_the_published_tokenizer_takes_little_more_than_half_the_steps(
    published: Any, count: int, tokens: int, least: int
) -> None:
    found = steps(published, "vision_reasoner", completion("vision_reasoner", count))
    assert abs(found[0] - tokens) <= 0.06 * tokens
    assert found[1] <= least


@pytest.mark.parametrize("quotes", ["single", "double"])
@pytest.mark.parametrize("answer_format", FORMATS)
def test_every_format_saves_steps(published: Any, answer_format: AnswerFormat, quotes: str) -> None:
    text = completion(answer_format, 1)
    text = text.replace("'", '"') if quotes == "double" else text
    tokens, taken = steps(published, answer_format, text)
    assert taken < 0.75 * tokens


@pytest.mark.parametrize("text", ["a ball, 1, 2 and 3", "if x < 3: y = [1,2,3]", "[[[[,,,,"])
def test_nothing_is_guessed_before_the_answer(published: Any, text: str) -> None:
    drafts = Drafts(published, "vision_reasoner")
    for token in published(text, add_special_tokens=False)["input_ids"]:
        drafts.push(token)
        assert drafts.guess() == []


class _Oracle:
    """Drafts that may be right or wrong at will, to try what the decoder makes of them."""

    active = True

    def __init__(self, tokens: list[int], wrong_every: int, length: int) -> None:
        self._tokens, self._wrong, self._length = tokens, wrong_every, length
        self.restart()

    def restart(self) -> None:
        self._count = 0

    def push(self, token: int) -> None:
        self._count += 1

    def guess(self) -> list[int]:
        found = self._tokens[self._count : self._count + self._length]
        return [
            token + 1 if self._wrong and (self._count + k) % self._wrong == 0 else token
            for k, token in enumerate(found)
        ]


@pytest.mark.parametrize("wrong_every", [0, 1, 2, 5])
@pytest.mark.parametrize("length", [1, 4, 20])
def test_right_and_wrong_drafts_change_no_token(
    folder: Path,
    model: Any,
    wrong_every: int,
    length: int,
) -> None:
    inputs, config = prompt(folder, words=3), settings(model, 40)
    decoder = Decoder(model)
    expected = decoded(decoder, inputs, config)
    oracle: Any = _Oracle(expected, wrong_every, length)
    with torch.inference_mode():
        assert list(decoder.decode(inputs, config, oracle)) == expected


def test_right_drafts_are_taken_in_one_step(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, config = prompt(folder, words=3), settings(model, 40)
    decoder: Any = Decoder(model)
    expected = decoded(decoder, inputs, config)
    taken: list[int] = []
    step = decoder._step

    def count(tokens: torch.Tensor, position: int) -> torch.Tensor:
        taken.append(len(tokens))
        return step(tokens, position)

    monkeypatch.setattr(decoder, "_step", count)
    oracle: Any = _Oracle(expected, 0, 9)
    with torch.inference_mode():
        assert list(decoder.decode(inputs, config, oracle)) == expected
    assert len(taken) <= 8


def test_settings_that_change_the_scores_make_drafts_idle(
    folder: Path,
    model: Any,
) -> None:
    inputs = prompt(folder, words=3)
    config = settings(model, 20, repetition_penalty=1.3)
    decoder = Decoder(model)
    expected = decoded(decoder, inputs, config)
    oracle: Any = _Oracle([7] * 40, 0, 4)
    with torch.inference_mode():
        assert list(decoder.decode(inputs, config, oracle)) == expected


def questions(count: int) -> Iterator[tuple[np.ndarray, str]]:
    with TabletopRenderer(320, 240) as renderer:
        for number in range(count):
            scene, frame = draw_usable(renderer, 600_000 + number, depth=False)
            rng = np.random.default_rng(number)
            if question := sample_question(look(scene, frame.ids), number % 4 + 1, rng):
                yield frame.rgb, question.text


@pytest.mark.slow
def test_the_demo_writes_the_same_with_and_without_drafts(demo: SegZero) -> None:
    reasoner: Any = demo._reasoner
    plain: Any = copy.copy(reasoner)
    plain._drafts = None
    assert reasoner._drafts is not None
    for image, question in questions(10):
        found = reasoner.complete(image, question)
        assert found == plain.complete(image, question)


def test_a_profile_asks_for_drafts(demo: SegZero) -> None:
    reasoner: Any = demo._reasoner
    assert reasoner._drafts is not None
    plain: Any = SegZero.load("demo", "cpu")._reasoner
    assert plain._drafts is None
