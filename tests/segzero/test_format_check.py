"""A checkpoint with another's prompt answers badly without an error: one warning says so."""

import logging
from collections.abc import Iterator
from itertools import count

import pytest

from segzero.format_check import FormatCheck
from segzero.reasoning.answers import AnswerFormat, written_format

SEG_ZERO = "<answer>{'bbox': [1,2,3,4], 'points_1': [1,2], 'points_2': [3,4]}</answer>"
VISION_REASONER = '<answer>[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]</answer>'
QWEN = '```json\n[{"bbox_2d": [1,2,3,4], "label": "cup"}]\n```'
PLAIN = '<answer>[{"bbox": [1,2,3,4], "point": [2,3]}]</answer>'
names: Iterator[str] = (f"a-profile-{number}" for number in count())


def warnings(
    caplog: pytest.LogCaptureFixture, answer_format: AnswerFormat, *texts: str, malformed: bool
) -> list[str]:
    check = FormatCheck(answer_format, next(names))
    with caplog.at_level(logging.WARNING):
        for text in texts:
            check.see(text, malformed=malformed)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("text", "answer_format"),
    [
        (SEG_ZERO, "seg_zero"),
        (VISION_REASONER, "vision_reasoner"),
        (QWEN, "vision_reasoner"),
        (PLAIN, None),
        ("<think>not points_1</think>" + QWEN, "vision_reasoner"),
        (SEG_ZERO + VISION_REASONER, None),
        ("", None),
    ],
)
def test_the_keys_tell_the_format(text: str, answer_format: str | None) -> None:
    assert written_format(text) == answer_format


@pytest.mark.parametrize(
    ("text", "expected", "fitting"),
    [
        (SEG_ZERO, "vision_reasoner", "seg-zero-7b"),
        (VISION_REASONER, "seg_zero", "vision-reasoner-7b"),
        (QWEN, "seg_zero", "qwen2.5-vl-7b"),
    ],
)
@pytest.mark.parametrize("malformed", [False, True])
def test_another_formats_keys_are_one_warning_that_names_profiles(
    text, expected, fitting, malformed, caplog
):
    (message,) = warnings(caplog, expected, text, text, malformed=malformed)
    assert "a-profile-" in message and fitting in message and "--check" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [(SEG_ZERO, "seg_zero"), (VISION_REASONER, "vision_reasoner"), (QWEN, "vision_reasoner"),
     (PLAIN, "seg_zero"), ("<answer>[]</answer>", "seg_zero")],
)  # fmt: skip
def test_answers_of_the_profiles_format_are_no_warning(text, expected, caplog):
    assert warnings(caplog, expected, *[text] * 9, malformed=False) == []


@pytest.mark.parametrize("text", ["", "the ball", "!!!!"])
def test_three_malformed_answers_in_a_row_are_one_warning(text, caplog):
    assert warnings(caplog, "seg_zero", text, text, malformed=True) == []
    (message,) = warnings(caplog, "seg_zero", *[text] * 9, malformed=True)
    assert message.startswith("3 answers in a row") and "vision-reasoner-7b" in message


def test_a_good_answer_between_them_ends_the_row(caplog):
    check = FormatCheck("seg_zero", next(names))
    for malformed in (True, True, False, True, True):
        check.see("", malformed=malformed)
    assert not caplog.records


def test_a_process_warns_once_about_a_profile(caplog):
    name = next(names)
    for _ in range(2):
        FormatCheck("seg_zero", name).see(QWEN, malformed=False)
    assert len(caplog.records) == 1
