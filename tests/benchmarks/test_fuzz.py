"""The benchmark of damaged input: its cases run, and an error without a name is told."""

import random
from collections.abc import Iterator

import fuzz
import pytest


@pytest.mark.parametrize("part", fuzz.COUNTS)
def test_damaged_input_gives_a_result_or_a_named_error(part: str) -> None:
    found = fuzz.run(part, 120, seed=1)
    assert found["other errors"] == []
    assert sum(found["outcomes"].values()) == 120
    assert len(found["outcomes"]) > 1


@pytest.mark.parametrize("error", [ValueError("surprise"), fuzz.BadImage("two\nlines")])
def test_any_other_error_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise error

    def cases(rng: random.Random) -> Iterator[fuzz.Case]:
        while True:
            yield broken

    monkeypatch.setattr(fuzz, "pictures", cases)
    (first, *_) = fuzz.run("pictures", 3, seed=1)["other errors"]
    assert first.startswith("case 0: ")
