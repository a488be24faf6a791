"""Recipes name several datasets with weights: `datasets: {a: 2, b: 1}`."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value

from segzero_train.datasets.mixing import (
    load_mixture,
    load_training,
    mix,
    mixed_rows,
    read_weights,
)
from segzero_train.errors import BadData, BadRecipe
from segzero_train.recipe import TaskOptions


def rows(name: str, count: int, **more: Any) -> Dataset:
    """A dataset of so many rows with pictures of some bytes."""
    features = {key: Value("string") for key in ("id", "problem", "solution")}
    columns: dict[str, list[Any]] = {
        "id": [str(number) for number in range(count)],
        "problem": [f"{name} {number}" for number in range(count)],
        "solution": ["[]"] * count,
        "image": [{"bytes": b"picture", "path": None}] * count,
    }
    table = Dataset.from_dict(columns, Features({**features, "image": Image(decode=False)}))
    for key, value in more.items():
        table = table.add_column(key, [value] * count)
    return table


def taken(dataset: Dataset) -> list[str]:
    return list(dataset["problem"])


@pytest.mark.parametrize("lengths", [[90, 90], [10, 1000], [1, 7, 300]])
@pytest.mark.parametrize("seed", [0, 42])
def test_every_set_has_its_share_at_every_length(lengths: list[int], seed: int) -> None:
    weights = [3.0, 1.0, 0.5][: len(lengths)]
    chosen = mixed_rows(lengths, weights, 120, seed)
    owner = np.searchsorted(np.cumsum(lengths), chosen, side="right")
    for size in (1, 2, 7, 50, 120):
        for number, weight in enumerate(weights):
            share = size * weight / sum(weights)
            assert abs(int((owner[:size] == number).sum()) - share) <= 1


@pytest.mark.parametrize(("size", "times"), [(20, {0, 1}), (40, {1}), (80, {2}), (100, {2, 3})])
def test_no_row_comes_again_before_all_of_its_set(size: int, times: set[int]) -> None:
    counted = Counter(mixed_rows([20, 20], [1, 1], size, 0).tolist())
    assert {counted[row] for row in range(40)} == times


def test_the_same_seed_chooses_the_same_rows_and_another_does_not() -> None:
    sets = {"a": rows("a", 30), "b": rows("b", 30)}
    first, again, other = (taken(mix(sets, [1, 1], 40, seed)) for seed in (7, 7, 8))
    assert first == again != other


def test_a_shorter_mixture_is_the_start_of_a_longer_one() -> None:
    sets = {"a": rows("a", 30), "b": rows("b", 9)}
    assert taken(mix(sets, [2, 1], 40, 3))[:15] == taken(mix(sets, [2, 1], 15, 3))


def test_without_a_size_there_are_as_many_rows_as_in_all_sets() -> None:
    assert len(mix({"a": rows("a", 5), "b": rows("b", 3)}, [1, 1], None, 0)) == 8


def test_ids_stay_unique() -> None:
    mixed = mix({"a": rows("a", 4), "b": rows("b", 4)}, [1, 1], None, 0)
    assert sorted(mixed["id"]) == sorted(f"{name}:{k}" for name in "ab" for k in range(4))


def test_only_columns_that_all_sets_have_are_kept() -> None:
    mixed = mix({"a": rows("a", 2, category="x", odd=1), "b": rows("b", 2)}, [1, 1], None, 0)
    assert set(mixed.column_names) == {"id", "problem", "solution", "image"}


def test_pictures_stay_undecoded() -> None:
    mixed = mix({"a": rows("a", 2), "b": rows("b", 2)}, [1, 1], None, 0)
    assert mixed[0]["image"] == {"bytes": b"picture", "path": None}


def test_a_column_in_two_forms_is_refused_by_name() -> None:
    with pytest.raises(BadData, match="b and a hold the column mask in different forms"):
        mix({"a": rows("a", 2, mask="x"), "b": rows("b", 2, mask=[True])}, [1, 1], None, 0)


@pytest.mark.parametrize("value", [{"a": 2, "b/c": 0.5}, '{"a": 2, "b/c": 0.5}'])
def test_weights_are_a_mapping_or_json(value: Any) -> None:
    assert read_weights(value) == {"a": 2.0, "b/c": 0.5}


@pytest.mark.parametrize("value", ["", {}, "{}", None])
def test_nothing_is_no_mixture(value: Any) -> None:
    assert read_weights(value) == {}


@pytest.mark.parametrize(
    "value", ["a", ["a"], {"a": 0}, {"a": -1}, {"a": "2"}, {"a": True}, {"a": float("nan")}, "[1]"]
)
def test_other_values_are_refused_with_an_example(value: Any) -> None:
    with pytest.raises(BadRecipe, match=r"datasets: \{data/grefcoco: 2, data/refcocog: 1\}"):
        read_weights(value)


def test_folders_and_the_tabletop_mix(table: Path) -> None:
    mixed = load_mixture({str(table): 1, "tabletop": 3}, "train", 8, 0)
    owners = Counter(name.rpartition(":")[0] for name in mixed["id"])
    assert owners == {str(table): 2, "tabletop": 6}


def test_a_missing_set_is_named(table: Path) -> None:
    with pytest.raises(BadData, match="there is no folder data/absent"):
        load_mixture({str(table): 1, "data/absent": 1}, "train", None, 0)


def test_a_recipe_without_a_mixture_trains_on_its_dataset(table: Path) -> None:
    options = TaskOptions(dataset=str(table), dataset_size=3)
    assert len(load_training(options, 0)) == 3
