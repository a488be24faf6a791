"""Answers as models write them in the wild: every object that can be understood is taken."""

import contextlib
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import FORMATS, MAX_ANSWER, MAX_OBJECTS, parse
from segzero.reasoning.lenient_answers import MAX_LABEL
from segzero.types import Answer, Box, GroundedObject, Point

A = '{"bbox_2d": [1,2,30,40], "point_2d": [2,3]}'
B = '{"bbox_2d": [5,6,70,80], "point_2d": [6,7]}'
FIRST = GroundedObject(Box(1, 2, 30, 40), (Point(2, 3),))
SECOND = GroundedObject(Box(5, 6, 70, 80), (Point(6, 7),))
HANGING = 60.0
"""Seconds; all cases take milliseconds."""


def read(body: str, end: str = "</answer>") -> Answer:
    return parse(f"<think>x</think><answer>{body}{end}", "vision_reasoner")


SEVERAL = {
    "side by side": f"{A}, {B}",
    "no comma": f"{A}{B}",
    "lines": f"{A}\n{B}",
    "two lists": f"[{A}]\n[{B}]",
    "list and object": f"[{A}], {B}",
    "nested lists": f"[[{A}], [{B}]]",
    "two fences": f"```json\n[{A}]\n```\nand\n```json\n[{B}]\n```",
    "two answers": f"[{A}]</answer>\n<answer>[{B}]",
    "an empty list first": f"[] [{A}, {B}]",
    "numbered": f"1. {A}\n2. {B}",
    "under a key": f'{{"objects": [{A}, {B}]}}',
    "keys twice": A[:-1] + ", " + B[1:],
    "boxes in one object": '{"bbox_2d": [[1,2,30,40],[5,6,70,80]], "point_2d": [[2,3],[6,7]]}',
    "words before": f"I found [two] objects: [{A}, {B}]",
    "an open bracket before": f"I found [two. It's these: [{A}, {B}]",
    "trailing comma": f"[{A}, {B}, ]",
    "last bracket missing": f"[{A}, {B}",
    "last brackets missing": f"[{A}, {B[:-1]}",
    "a comma missing between keys": f"[{A.replace('], ', '] ')}, {B}]",
    "a label not closed": f'[{A[:-1]}, "label": "the red}}, {B}]',
    "escaped": f"[{A}, {B}]".replace('"', '\\"'),
    "a text of JSON": '"' + f"[{A}, {B}]".replace('"', '\\"') + '"',
    "texts of JSON": f"[{A}, '{B}']",
    "null behind": f"[{A}, {B}, null, ...]",
    "comments": f"[ // the mug\n {A}, /* and */ {B} # the ball\n]",
}


@pytest.mark.parametrize("body", SEVERAL.values(), ids=SEVERAL)
def test_several_values_are_several_objects(body: str) -> None:
    answer = read(body)
    assert places(answer.objects) == places((FIRST, SECOND))
    assert answer.dropped == ()


def places(objects: Iterable[GroundedObject]) -> list[tuple[Box | None, tuple[Point, ...]]]:
    return [(item.box, item.points) for item in objects]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ('"the red cup"', "the red cup"),
        ("'the man's hat'", "the man's hat"),
        (r'"\u676f\u5b50 \"x\""', '杯子 "x"'),
        ("“杯子”", "杯子"),
        ('"one\n two\x1b[31m"', "one two [31m"),
        (f'"{"x" * 500}"', "x" * MAX_LABEL),
        (r'"\ud800"', ""),
        ("None", ""),
        ("[1, 2]", ""),
    ],
)
def test_an_object_keeps_the_models_label_in_one_line(written: str, label: str) -> None:
    (item,) = read(f'[{{"label": {written}, {A[1:]}]').objects
    assert (item.label, item.box) == (label, FIRST.box)


def test_the_single_object_format_may_hold_several() -> None:
    one, two = (f"{{'bbox': [{n},2,30,40], 'points_1': [2,3], 'points_2': [4,5]}}" for n in (1, 9))
    answer = parse(f"<think>x</think><answer>{one}, {two}</answer>", "seg_zero")
    assert [item.box.x1 for item in answer.objects] == [1, 9]
    assert all(item.points == (Point(2, 3), Point(4, 5)) for item in answer.objects)


SPELLINGS = {
    "trailing commas": '{"bbox_2d": [1,2,30,40,], "point_2d": [2,3,],}',
    "round brackets": '{"bbox_2d": (1,2,30,40), "point_2d": (2,3)}',
    "curly quotes": "{“bbox_2d”: [1,2,30,40], “point_2d”: [2,3]}",
    "curly single quotes": "{‘bbox_2d’: [1,2,30,40], ‘point_2d’: [2,3]}",
    "mixed quotes": "{\"bbox_2d”: [1,2,30,40], 'point_2d’: [2,3]}",
    "no quotes": "{bbox_2d: [1,2,30,40], point_2d: [2,3]}",
    "full width": "［｛＂bbox_2d＂：［１，２，３０，４０］，＂point_2d＂：［２，３］｝］",
    "ideographic comma": '{"bbox_2d": [1、2、30、40]、"point_2d": [2、3]}',
    "no-break spaces": '{"bbox_2d":\u00a0[1,\u00a02,\u202f30,\u300040], "point_2d": [\u20032,3]}',
    "blanks for commas": '{"bbox_2d": [1 2 30 40], "point_2d": [2 3]}',
    "Python's None": "{'bbox_2d': [1,2,30,40], 'point_2d': [2,3], 'label': None, 'sure': True}",
    "null": '{"label": null, "bbox_2d": [1,2,30,40], "point_2d": [2,3]}',
    "label": '{"label": "cup", "bbox_2d": [1,2,30,40], "point_2d": [2,3]}',
    "apostrophe in single quotes": "{'label': 'the man's [hat], old', 'bbox_2d': [1,2,30,40], "
    "'point_2d': [2,3]}",
    "quotes in quotes": '{"label": "the "red" one", "bbox_2d": [1,2,30,40], "point_2d": [2,3]}',
    "curly quotes in quotes": '{"label": "a “b”, c", "bbox_2d": [1,2,30,40], "point_2d": [2,3]}',
    "numbers as text": '{"bbox_2d": ["1","2","30","40"], "point_2d": ["2","3"]}',
    "box as text": '{"bbox_2d": "1, 2, 30, 40", "point_2d": "(2, 3)"}',
    "box by names": '{"bbox_2d": {"x1":1,"y1":2,"x2":30,"y2":40}, "point_2d": {"x":2,"y":3}}',
    "box by other names": '{"bbox": {"xmin":1,"ymin":2,"xmax":30,"ymax":40}, "point": [2,3]}',
    "box as corners": '{"bbox_2d": [[1,2],[30,40]], "point_2d": [[2,3]]}',
    "floats": '{"bbox_2d": [1.0, 2., 3e1, +40], "point_2d": [2.0,3]}',
    "wrong bracket": '{"bbox_2d": [1,2,30,40), "point_2d": [2,3}}',
    "square for curly": '["bbox_2d": [1,2,30,40], "point_2d": [2,3]]',
    "other keys with box": '{"bbox_2d": [1,2,30,40], "bbox_format": "xyxy", "point_2d": [2,3]}',
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_in_the_wild(body: str) -> None:
    answer = read(body)
    (item,) = answer.objects
    assert (item.box, item.points, answer.dropped) == (FIRST.box, FIRST.points, ())


@pytest.mark.parametrize(
    "text",
    [
        '```json\n[\n\t{"bbox_2d": [1, 2, 30, 40], "label": "cup"}\n]\n```',
        '[{"bbox_2d": [1,2,30,40], "label": "cup"}]',
        '<think>x</think><answer>{"bbox_2d": [1,2,30,40]}</answer>',
        '<answer>[{"bbox_2d": [1,2,30,40], "point_2d": None}]</answer>',
        '<answer>[{"bbox_2d": [1,2,30,40], "point_2d": []}]</answer>',
    ],
)
def test_an_untrained_models_box_alone_is_an_object(text: str) -> None:
    assert places(parse(text, "vision_reasoner").objects) == [(FIRST.box, ())]


@pytest.mark.parametrize(
    "body", ["[]", "None", "null", "[ ]", "```json\n[]\n```", "[None]", "［］"]
)
@pytest.mark.parametrize("answer_format", FORMATS)
def test_nothing(body: str, answer_format: Any) -> None:
    assert parse(f"<think>x</think><answer>{body}</answer>", answer_format).objects == ()


BAD = {
    "no width": ('{"bbox_2d": [5,1,5,9], "point_2d": [5,5]}', "without width"),
    "no height": ('{"bbox_2d": [1,9,5,9], "point_2d": [5,9]}', "without width"),
    "point missing": ('{"bbox_2d": [5,6,7,8]}', "no point"),
    "point null": ('{"bbox_2d": [5,6,7,8], "point_2d": null}', "no point"),
    "box missing": ('{"point_2d": [5,6]}', "no box"),
    "empty": ("{}", "no box"),
    "short box": ('{"bbox_2d": [5,6,7], "point_2d": [5,6]}', "3 numbers"),
    "long point": ('{"bbox_2d": [5,6,7,8], "point_2d": [5,6,7]}', "3 numbers"),
    "text": ('{"bbox_2d": [5,6,7,"eight"], "point_2d": [5,6]}', "no number"),
    "units": ('{"bbox_2d": [5px,6px,7px,8px], "point_2d": [5,6]}', "no number"),
    "percent": ('{"bbox_2d": [5%,6%,7%,8%], "point_2d": [5,6]}', "no number"),
    "None": ('{"bbox_2d": [5,6,7,None], "point_2d": [5,6]}', "no number"),
    "True": ('{"bbox_2d": [5,6,7,True], "point_2d": [5,6]}', "no number"),
    "NaN": ('{"bbox_2d": [5,6,7,8], "point_2d": [NaN,6]}', "no usable number"),
    "infinity": ('{"bbox_2d": [5,6,7,Infinity], "point_2d": [5,6]}', "no usable number"),
    "too large": ('{"bbox_2d": [5,6,7,1e400], "point_2d": [5,6]}', "no usable number"),
    "thousands of digits": (f'{{"bbox_2d": [5,6,7,{"9" * 5000}]}}', "no usable number"),
    "fractions": ('{"bbox_2d": [0.1,0.2,0.5,1], "point_2d": [0.3,0.5]}', "fractions"),
    "list of numbers": ("[5,6,7,8]", "without keys"),
    "two boxes, one point": ('{"bbox_2d": [[5,6,7,8],[1,2,3,4]], "point_2d": [5,6]}', "2 boxes"),
    "a brace behind the key": ('{"bbox_2d"}', "no box"),
    "box without its bracket": ('{"bbox_2d": [5,6,7,8, "point_2d": [5,6]}', "box"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_object_leaves_the_good_ones_and_is_named(bad: str, reason: str, place: int) -> None:
    entries = [A, B]
    entries.insert(place, bad)
    answer = read(f"[{', '.join(entries)}]")
    assert answer.objects == (FIRST, SECOND)
    (line,) = answer.dropped
    assert line.startswith(f"object {place + 1} ") and reason in line


@pytest.mark.parametrize(
    "stray",
    [
        '{"bbox_2d"}: [5,6,7,8], "point_2d": [5,6]}',
        '{"bbox_2d": }[5,6,7,8], "point_2d": [5,6]}',
        '{"bbox_2d"} [5,6,7,8]',
        '{"bbox_2d": [5,6,7,8], "point_2d"}: [5,6]}',
        '{"bbox_2d": [5,6,7,8]}, "point_2d": [5,6]}',
        '{"bbox_2d": [5,6,7}, 8], "point_2d": [5,6]}',
    ],
)
def test_an_object_that_a_stray_brace_took_apart_is_not_lost_silently(stray: str) -> None:
    answer = read(f"[{stray}, {A}]")
    assert places(answer.objects) == places((FIRST,))
    assert answer.dropped[0].startswith("object 1 has ")


@pytest.mark.parametrize("bad", [bad for bad, reason in BAD.values() if reason != "no point"])
def test_without_a_usable_object_the_answer_is_malformed(bad: str) -> None:
    with pytest.raises(MalformedAnswer, match="object 1 "):
        read(f"[{bad}]")


@pytest.mark.parametrize(
    "body", ["", "the red ball", "I see [two] of (them)", "[", "```json\n", "5"]
)
def test_without_any_object_the_answer_is_malformed(body: str) -> None:
    with pytest.raises(MalformedAnswer, match="no object with a box"):
        read(body)


def test_a_list_that_is_cut_anywhere_gives_its_complete_objects() -> None:
    whole = f'[{A}, {{"label": "it\'s a cup", "bbox_2d": [5,6,70,80], "point_2d": [6,7]}}, {A}]'
    known = (FIRST, SECOND, FIRST)
    ends = [index + 1 for index, character in enumerate(whole) if character == "}"]
    for length in range(ends[0], len(whole)):
        answer = read(whole[:length], end="")
        complete = sum(end <= length for end in ends)
        assert places(answer.objects) == places(known[:complete])
        started = whole.count("{", 0, length)
        assert answer.dropped == (f"object {started} is cut off",) * (started - complete)


def test_the_last_number_of_a_cut_list_is_not_trusted() -> None:
    answer = read(f'[{A}, {{"bbox_2d": [5,6,70,80], "point_2d": [6,7')
    assert (answer.objects, answer.dropped) == ((FIRST,), ("object 2 is cut off",))


def test_the_first_objects_of_too_many_are_taken() -> None:
    answer = read(f"[{', '.join([A] * (MAX_OBJECTS + 5))}]")
    assert len(answer.objects) == MAX_OBJECTS
    assert answer.dropped == (f"5 objects behind the first {MAX_OBJECTS}",)


def test_the_first_points_of_too_many_are_taken() -> None:
    answer = read('{"bbox_2d": [1,2,30,40], "points": [[2,3],[4,5],[6,7]]}')
    assert answer.objects[0].points == (Point(2, 3), Point(4, 5))
    assert answer.dropped == ("object 1 has 3 points, of which 2 count",)


def test_what_an_overlong_answer_holds_first_is_taken() -> None:
    answer = read(f"[{A}, {' ' * MAX_ANSWER} {B}]")
    assert answer.objects == (FIRST,)
    assert str(MAX_ANSWER) in answer.dropped[-1]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 500_000,
        "[" * 40_000,
        '{"a":' * 8_000,
        "'" * 49_999,
        '"\\' * 24_999,
        "'\\" * 24_999,
        "[" + '"' * 49_000,
        "[" + "<think>" * 140_000,
        "[" + "1," * 24_000,
        "[]" * 24_000,
        "{" * 31 + "]}" * 24_000,
        "[" + "/*" * 24_000,
        "[" + '"a ' * 16_000,
        '{"bbox":"' + "1," * 24_000 + "x",
        "[" + "1" * 49_000 + "x",
        '["' + '" ' * 24_000,
    ],
    ids=lambda body: f"{body[:8]}…",
)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
def test_large_junk_is_read_in_linear_time(body: str, strict: bool) -> None:
    def read_junk(body: str) -> None:
        for text in (f"<answer>{body}</answer>", f"<think>{body}</think><answer>[{body}"):
            with contextlib.suppress(MalformedAnswer):
                parse(text, "vision_reasoner", strict=strict)

    start = time.perf_counter()
    half, whole = calls(lambda: read_junk(body[: len(body) // 2])), calls(lambda: read_junk(body))
    assert whole <= 2.5 * half
    assert time.perf_counter() - start < HANGING  # within a regular expression


def calls(function: Callable[[], None]) -> int:
    """How many functions of Python and C are called."""
    count = 0

    def profile(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<answer>", "</answer>", "[", "]", "{", "}", ",", ":", "'", '"'),
        *('"bbox_2d"', '"point_2d"', "[1,2,3,4]", "[1,2]", "NaN", "-1e400", "\\", "null", " "),
        *("“", "’", "，", "：", "［", "｝", "１", "(", ")", "//", "/*", "\n", "None", A, B),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@given(TEXTS, st.sampled_from(FORMATS), st.booleans())
@example('<answer>{"bbox": [1,2,3,4], "point": [1,2]}', "seg_zero", False)
def test_any_text_gives_an_answer_or_malformed_and_nothing_else(text, answer_format, strict):
    try:
        answer = parse(text, answer_format, strict=strict)
    except MalformedAnswer as error:
        assert error.text == text
        return
    assert answer.text == text
    for item in answer.objects:
        assert item.label.isprintable() and len(item.label) <= MAX_LABEL
        assert item.box.x1 <= item.box.x2 and item.box.y1 <= item.box.y2
        assert len(item.points) <= 2
    for line in answer.dropped:
        assert len(line) <= 100 and not any(unicodedata.category(c)[0] == "C" for c in line)
    assert len(answer.dropped) <= 10


@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(FORMATS))
@example(f'<answer>[{{"label": "a ”, b", {A[1:]}]', "seg_zero")
@example(f'<answer>[{{"label": "a\\", b", {A[1:]}]', "seg_zero")
@example(f"［//{A}", "seg_zero")
@example(f"［“{A}", "seg_zero")
def test_what_is_read_strictly_is_read_so_leniently_too(text, answer_format):
    try:
        objects = parse(text, answer_format, strict=True).objects
    except MalformedAnswer:
        return
    found = parse(text, answer_format).objects[: len(objects)]  # more values may follow
    assert places(found) == places(objects)
