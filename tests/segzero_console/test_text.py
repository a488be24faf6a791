"""Text is text: nothing in it reaches a terminal, an order of letters or an encoder."""

import json

import pytest

from segzero_console.messages import to_json
from segzero_console.text import one_line, plain


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<img onerror=alert(1)>", "<img onerror=alert(1)>"),
        ("\x1b[31mred\x1b[0m ball", "red ball"),
        ("\x1b]0;title\x07ball", "ball"),
        ("a\x00b\x9bc", "a b c"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("杯子 and 🥄", "杯子 and 🥄"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_only_text_stays(given: str, kept: str) -> None:
    assert plain(given) == kept


def test_a_long_text_is_cut() -> None:
    assert plain("a" * 50, limit=10) == "a" * 9 + "…"


def test_a_question_is_one_line() -> None:
    assert one_line("  the\r\n red\tball ") == "the red ball"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_become_null(number: float) -> None:
    assert json.loads(to_json({"score": [number], "text": "\ud800"})) == {
        "score": [None],
        "text": "\ufffd",
    }
