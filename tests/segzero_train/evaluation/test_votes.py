"""Sampled answers: their mean, the best of them, and the majority over masks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segzero.metrics import CONVENTIONS, Convention, Overlap, summarize, summarize_samples
from segzero.pipeline import SegZero
from segzero_train.datasets import tabletop
from segzero_train.evaluation.encodings import Encodings
from segzero_train.evaluation.scores import named_rows, report
from segzero_train.evaluation.scoring import Result, score_batch
from segzero_train.evaluation.votes import Draws, majority
from tests.segzero_train.evaluations import answers, run, scores


def row(*cells: int) -> np.ndarray:
    return np.array([cells], bool)


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([row(1, 1, 0), row(1, 0, 0), row(1, 0, 1)], row(1, 0, 0)),
        ([row(1, 1), row(1, 0)], row(1, 0)),  # half is no majority
        ([row(1, 0), None, None], row(1, 0)),  # malformed answers don't vote
        ([row(0, 0), row(0, 0), row(1, 1)], row(0, 0)),  # most find nothing
        ([row(1, 1)], row(1, 1)),
    ],
)
def test_a_pixel_is_in_if_most_usable_answers_hold_it(masks: list, expected: np.ndarray) -> None:
    found = majority(masks)
    assert found is not None
    assert found.dtype == bool
    assert np.array_equal(found, expected)


def test_only_malformed_answers_have_no_majority() -> None:
    assert majority([None, None]) is None


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_mean_of_samples_draws_questions_not_samples(convention: Convention) -> None:
    rng = np.random.default_rng(0)
    singles = [Overlap(int(value), 100) for value in rng.integers(0, 100, 50)]
    same = summarize_samples([[item] * 8 for item in singles], convention)
    alone = summarize(singles, convention)
    assert same.giou.value == pytest.approx(alone.giou.value)
    assert (same.giou.low, same.giou.high) == pytest.approx((alone.giou.low, alone.giou.high))
    assert same.n == 50


def test_questions_need_equally_many_samples() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2\] answers"):
        summarize_samples([[Overlap(1, 2)], [Overlap(1, 2)] * 2])


def test_rows_of_a_report_are_mean_best_and_majority() -> None:
    base = Result(0, "a", "1", 5, 10, [[9, 10]], "", "text", [], batch=1)
    results = [
        replace(base, samples=[[2, 10, 0], [8, 10, 0], [0, 10, 1]], vote=[6, 10, 0]),
        replace(base, index=1, samples=[[10, 10, 0], [1, 10, 0], [1, 10, 0]], vote=[1, 10, 0]),
    ]
    rows = dict(named_rows(report(results, "seg_zero")))
    assert list(rows)[1:] == [
        "all", "mean of 3 samples", "best of 3", "majority of 3", "segmenter alone"
    ]  # fmt: skip
    assert rows["all"]["giou"] == 0.5
    assert rows["mean of 3 samples"]["giou"] == pytest.approx(22 / 60, abs=1e-4)
    assert rows["best of 3"]["giou"] == pytest.approx(0.9)
    assert rows["majority of 3"]["giou"] == pytest.approx(0.35)


def test_seeds_differ_between_samples_and_batches_and_repeat() -> None:
    draws = Draws(3, 1.0, 0)
    seeds = [sampling.seed for first in (0, 8) for sampling in draws.samplings(first)]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)  # what servers take
    assert draws.samplings(8) == Draws(3, 1.0, 0).samplings(8)
    assert draws.samplings(8) != Draws(3, 1.0, 1).samplings(8)


@pytest.mark.slow
def test_samples_leave_the_greedy_answer_as_it_is_and_repeat() -> None:
    model = SegZero.load("demo", "cpu")
    samples = list(enumerate(tabletop.samples("test", 3)))
    encodings = Encodings(model)
    greedy = score_batch(model, samples, encodings, 3)
    first, again = (score_batch(model, samples, encodings, 3, Draws(3, 1.0, 0)) for _ in range(2))
    assert first == again
    assert [replace(item, samples=[], vote=[]) for item in first] == greedy
    assert len({tuple(map(tuple, item.samples)) for item in first}) == 3
    cold = score_batch(model, samples, encodings, 3, Draws(2, 1e-6, 0))
    for item, result in zip(cold, greedy, strict=True):
        assert item.samples == [[result.intersection, result.union, 0]] * 2
        assert item.vote == [result.intersection, result.union, 0]


@pytest.mark.slow
def test_the_command_keeps_samples_and_refuses_to_mix_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("-n", "2", "--batch", "2", "--worst", "1", "--out", str(tmp_path))
    assert run(*command, "--samples", "2") == 0
    assert "majority of 2" in capsys.readouterr().out
    assert all(len(json.loads(line)["samples"]) == 2 for line in answers(tmp_path))
    assert scores(tmp_path)["sampled"] == {"count": 2, "temperature": 1.0, "seed": 0}
    assert "| best of 2 |" in (tmp_path / "table.md").read_text()
    assert run(*command, "--samples", "3") == 1
    assert "other options (samples)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("--samples", "-1"), ("--temperature", "0"), ("--temperature", "nan")]
)
def test_sampling_that_can_not_be_is_refused(options: tuple) -> None:
    with pytest.raises(SystemExit):
        run(*options)
