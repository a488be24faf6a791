import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segzero.errors import BadQuestion
from segzero.pipeline import SegZero
from segzero_train import evaluate
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.errors import BadData
from segzero_train.evaluation import scoring
from segzero_train.evaluation.scoring import chunks


@pytest.fixture(scope="module")
def ten() -> list[Sample]:
    return list(tabletop.samples("test", 10))


@pytest.fixture(scope="module")
def demo() -> SegZero:
    return SegZero.load("demo", "cpu")


def test_a_split_is_the_same_every_time(ten: list[Sample]) -> None:
    for first, again in zip(ten, tabletop.samples("test", 10), strict=True):
        assert (first.name, first.question) == (again.name, again.question)
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.mask, again.mask)


def test_a_longer_split_begins_with_the_shorter(ten: list[Sample]) -> None:
    three = list(tabletop.samples("test", 3))
    assert [sample.question for sample in three] == [sample.question for sample in ten[:3]]


def test_categories_take_turns(ten: list[Sample]) -> None:
    assert [sample.category for sample in ten] == ["1", "2", "3", "4", "5"] * 2


def test_ground_truth_fits_the_category(ten: list[Sample]) -> None:
    counts = [len(sample.masks) for sample in ten]
    assert counts[0] == counts[1] == counts[2] == 1
    assert counts[3] >= 2
    assert counts[4] == 0
    assert not ten[4].mask.any()


def test_true_points_lie_in_the_true_masks(ten: list[Sample]) -> None:
    for sample in ten:
        for item, mask in zip(sample.objects, sample.masks, strict=True):
            assert mask[round(item.points[0].y), round(item.points[0].x)]


def test_splits_differ(ten: list[Sample]) -> None:
    (other,) = tabletop.samples("val", 1)
    assert not np.array_equal(other.image, ten[0].image)


@pytest.mark.parametrize(("split", "size"), [("training", 3), ("test", 0), ("test", 100_001)])
def test_what_does_not_exist_is_refused(split: str, size: int) -> None:
    with pytest.raises(ValueError, match="split"):
        next(tabletop.samples(split, size))


@pytest.mark.slow
def test_the_demo_profile_answers_better_than_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    assert evaluate.main(["-n", "20", "--batch", "10", "--json", str(file), "--device", "cpu"]) == 0
    figures = json.loads(file.read_text())
    assert set(figures["categories"]) == {"1", "2", "3", "4", "5"}
    for row in figures["categories"].values():
        assert row["n"] == 4
        low, high = row["giou_95"]
        assert low <= row["giou"] <= high
    assert figures["segmenter"]["giou"] > 0.8
    assert figures["all"]["giou"] > 0.4
    printed = capsys.readouterr().out
    assert "category 1" in printed
    assert "segmenter alone" in printed


def test_a_missing_profile_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--profile", "no-such-profile", "-n", "1"]) == 1
    assert "no-such-profile" in capsys.readouterr().err


def test_the_json_folder_is_checked_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--json", "no/such/folder/scores.json"]) == 1
    assert "no/such/folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_batch_is_scored_as_its_samples_one_by_one(demo: SegZero, ten: list[Sample]) -> None:
    alone = scoring.evaluate(demo, ten)
    batched = scoring.evaluate(demo, ten, batch=4)
    assert [replace(item, batch=1) for item in batched] == alone
    assert {item.batch for item in batched} == {4}
    assert [item.index for item in alone] == list(range(10))
    assert len({item.text for item in alone}) == 10


def test_pixels_that_are_ignored_count_nowhere(demo: SegZero, ten: list[Sample]) -> None:
    everywhere = np.ones(ten[0].image.shape[:2], bool)
    (blind,) = scoring.evaluate(demo, [replace(ten[0], ignored=everywhere)])
    (seeing,) = scoring.evaluate(demo, [ten[0]])
    assert (blind.intersection, blind.union, blind.segmenter) == (0, 0, [[0, 0]])
    assert seeing.intersection > 0
    assert seeing.segmenter[0][0] > 0


def test_a_sample_that_can_not_be_asked_about_is_named(demo: SegZero, ten: list[Sample]) -> None:
    with pytest.raises(BadQuestion):
        scoring.evaluate(demo, [replace(ten[0], question=" ")])
    with pytest.raises(BadData, match=r"test-00000.*1 objects.*mask 0"):
        scoring.evaluate(demo, [replace(ten[0], masks=())])


def test_chunks_are_full_but_for_the_last() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
