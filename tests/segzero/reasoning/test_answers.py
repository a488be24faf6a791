from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import FORMATS, MAX_OBJECTS, AnswerFormat, format_answer, parse
from segzero.types import Answer, Box, GroundedObject, Point

SEG_ZERO_EXAMPLE = (
    "<think> thinking process here </think>"
    "<answer>{'bbox': [10,100,200,210], 'points_1': [30,110], 'points_2': [35,180]}</answer>"
)
VISION_REASONER_EXAMPLE = (
    "<think> thinking process here </think>"
    '<answer>[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, '
    '{"bbox_2d": [225,296,706,786], "point_2d": [302,410]}]</answer>'
)
SEG_ZERO_OBJECT = GroundedObject(Box(10, 100, 200, 210), (Point(30, 110), Point(35, 180)))
VISION_REASONER_OBJECTS = (
    GroundedObject(Box(10, 100, 200, 210), (Point(30, 110),)),
    GroundedObject(Box(225, 296, 706, 786), (Point(302, 410),)),
)
ONE = GroundedObject(Box(1, 2, 3, 4), (Point(2, 3),))


def answered(
    body: str, answer_format: AnswerFormat = "vision_reasoner", *, strict: bool = True
) -> tuple[GroundedObject, ...]:
    return parse(f"<think>x</think><answer>{body}</answer>", answer_format, strict=strict).objects


def test_the_example_of_the_seg_zero_prompt():
    answer = parse(SEG_ZERO_EXAMPLE, "seg_zero")
    assert answer == Answer("thinking process here", (SEG_ZERO_OBJECT,), SEG_ZERO_EXAMPLE)


def test_the_example_of_the_vision_reasoner_prompt():
    answer = parse(VISION_REASONER_EXAMPLE, "vision_reasoner")
    assert answer.reasoning == "thinking process here"
    assert answer.objects == VISION_REASONER_OBJECTS


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
@pytest.mark.parametrize("answer_format", FORMATS)
def test_an_empty_list_means_that_nothing_matches(answer_format, strict):
    assert answered("[]", answer_format, strict=strict) == ()


@pytest.mark.parametrize(
    "body",
    [
        '{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}',
        "[{'bbox': [1, 2, 3, 4], 'point': [2, 3]}]",
        '[{"BBox": [1.0, 2.0, 3.0, 4.0], "Points_1": [2, 3]}]',
        '[{"bbox_2d": [3,4,1,2], "point_2d": [2,3]}]',
        '[{"bbox_2d": [3,2,1,4], "points": [[2,3]]}]',
        '```json\n[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]\n```',
        '[{"label": "the man\'s [hat]", "bbox_2d": [1,2,3,4], "point_2d": [2,3]}]',
        """[{'label': 'say "hi"', 'bbox_2d': [1,2,3,4], 'point_2d': [2,3]}]""",
    ],
    ids=[
        *("no list", "single quotes", "capitals", "swapped corners", "half swapped", "code fence"),
        *("apostrophe", "quotes in quotes"),
    ],
)
def test_spellings_of_the_same_object(body):
    assert answered(body) == (ONE,)
    (item,) = answered(body, strict=False)
    assert (item.box, item.points) == (ONE.box, ONE.points)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ('"points_1": [2,3]', 1),
        ('"points_2": [2,3]', 1),
        ('"points_1": [2,3], "points_2": [2,3]', 2),
        ('"points": [[2,3],[2,3]]', 2),
    ],
)
def test_one_or_two_points(points, expected):
    body = f'{{"bbox": [1,2,3,4], {points}}}'
    (item,) = answered(body, "seg_zero")
    assert answered(body, "seg_zero", strict=False) == (item,)
    assert item.points == (Point(2, 3),) * expected


@pytest.mark.parametrize(
    "text",
    [
        '<think>x</think>[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]',
        'x</think><answer>[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]</answer>',
        '<think>x</think><answer>[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]',
    ],
    ids=["no answer tags", "thinking opened by the prompt", "answer not closed"],
)
def test_missing_tags_are_forgiven_where_the_meaning_is_clear(text):
    answer = parse(text, "vision_reasoner")
    assert (answer.reasoning, answer.objects) == ("x", (ONE,))


def test_an_answer_in_the_thinking_is_not_the_answer():
    text = (
        '<think><answer>[{"bbox_2d": [9,9,9,9], "point_2d": [9,9]}]</answer></think>'
        '<answer>[{"bbox_2d": [1,2,3,4], "point_2d": [2,3]}]</answer>'
    )
    assert parse(text, "vision_reasoner").objects == (ONE,)


BOX, POINT = '"bbox_2d": [1,2,3,4]', '"point_2d": [2,3]'
MALFORMED = {
    "no JSON": "the red ball",
    "empty": "",
    "cut off": f"[{{{BOX}, {POINT}}}, {{",
    "numbers only": "[1,2,3,4]",
    "nested lists": f"[[{{{BOX}, {POINT}}}]]",
    "empty object": "{}",
    "no box": f"{{{POINT}}}",
    "two boxes": f'{{{BOX}, "bbox": [1,2,3,4], {POINT}}}',
    "no point": f"{{{BOX}}}",
    "three points": f'{{{BOX}, "points": [[1,2],[1,2],[1,2]]}}',
    "short box": f'{{"bbox_2d": [1,2,3], {POINT}}}',
    "long point": f'{{{BOX}, "point_2d": [1,2,3]}}',
    "box of text": f'{{"bbox_2d": "1,2,3,4", {POINT}}}',
    "numbers as text": f'{{"bbox_2d": ["1","2","3","4"], {POINT}}}',
    "null": f'{{"bbox_2d": [1,2,3,null], {POINT}}}',
    "boolean": f'{{"bbox_2d": [1,2,3,true], {POINT}}}',
    "NaN": f'{{"bbox_2d": [1,2,3,NaN], {POINT}}}',
    "infinity": f'{{"bbox_2d": [1,2,3,-Infinity], {POINT}}}',
    "float overflow": f'{{"bbox_2d": [1,2,3,1e999], {POINT}}}',
    "huge integer": f'{{"bbox_2d": [1,2,3,{"9" * 400}], {POINT}}}',
    "thousands of digits": f'{{"bbox_2d": [1,2,3,{"9" * 5000}], {POINT}}}',
    "too large": f'{{"bbox_2d": [1,2,3,1000001], {POINT}}}',
    "code": "__import__('os').getcwd() or [{'bbox': 1}]",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("answer_format", ["seg_zero", "vision_reasoner"])
def test_read_strictly_anything_else_is_malformed_and_keeps_the_text(body, answer_format):
    text = f"<think>x</think><answer>{body}</answer>"
    with pytest.raises(MalformedAnswer) as caught:
        parse(text, answer_format, strict=True)
    assert caught.value.text == text


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
def test_thinking_that_never_ends_is_malformed(strict):
    with pytest.raises(MalformedAnswer, match="never ends"):
        parse(f"<think> perhaps {{{BOX}, {POINT}}}", "vision_reasoner", strict=strict)


def test_read_strictly_seg_zero_answers_hold_one_object():
    with pytest.raises(MalformedAnswer, match="2 objects"):
        answered(f"[{{{BOX}, {POINT}}}, {{{BOX}, {POINT}}}]", "seg_zero")


def test_most_objects_read_strictly():
    entry = f"{{{BOX}, {POINT}}}"
    assert len(answered("[" + ", ".join([entry] * MAX_OBJECTS) + "]")) == MAX_OBJECTS
    with pytest.raises(MalformedAnswer, match="121 objects"):
        answered("[" + ", ".join([entry] * (MAX_OBJECTS + 1)) + "]")


def test_a_long_text_is_shortened_in_the_message_only():
    text = "x" * 1_000_000
    with pytest.raises(MalformedAnswer) as caught:
        parse(text, "seg_zero")
    assert caught.value.text == text
    assert len(str(caught.value)) < 500


whole = st.integers(0, 2000)
pairs = st.tuples(whole, whole)
sides = st.lists(whole, min_size=2, max_size=2, unique=True)


@st.composite
def grounded(draw: st.DrawFn, most_points: int) -> GroundedObject:
    (x1, x2), (y1, y2) = sorted(draw(sides)), sorted(draw(sides))
    points = draw(st.lists(pairs, min_size=1, max_size=most_points))
    return GroundedObject(Box(x1, y1, x2, y2), tuple(Point(x, y) for x, y in points))


reasonings = st.text(st.characters(codec="utf-8", exclude_characters="<")).map(str.strip)


@given(reasonings, st.lists(grounded(1), max_size=5), st.booleans())
def test_vision_reasoner_answers_come_back_as_written(reasoning, objects, strict):
    text = format_answer(reasoning, objects, "vision_reasoner")
    answer = parse(text, "vision_reasoner", strict=strict)
    assert (answer.reasoning, answer.objects) == (reasoning, tuple(objects))


@given(reasonings, st.lists(grounded(2), max_size=1), st.booleans())
def test_seg_zero_answers_come_back_as_written(reasoning, objects, strict):
    answer = parse(format_answer(reasoning, objects, "seg_zero"), "seg_zero", strict=strict)
    assert (answer.reasoning, answer.objects) == (reasoning, tuple(objects))


def test_answers_are_written_as_in_the_prompts():
    thought = "thinking process here"
    assert format_answer(thought, [SEG_ZERO_OBJECT], "seg_zero") == SEG_ZERO_EXAMPLE
    written = format_answer(thought, VISION_REASONER_OBJECTS, "vision_reasoner")
    assert written == VISION_REASONER_EXAMPLE


@pytest.mark.parametrize("layout", ["seg_zero", "vision_reasoner"])
@pytest.mark.parametrize(
    ("part", "body", "strange"),
    [("box", BOX, f"{BOX}, {POINT}"), ("points", POINT, f"{BOX}, {POINT}"), ("box", BOX, POINT),
     ("points", POINT, BOX)],
)  # fmt: skip
def test_a_part_alone_is_an_object_and_nothing_beside_it(layout, part, body, strange):
    form: Any = f"{layout}_{part}"
    (item,) = answered(f"[{{{body}}}]", form)
    assert (item.box is None, item.points == ()) == (part == "points", part == "box")
    with pytest.raises(MalformedAnswer, match=r"not none|not one"):
        answered(f"[{{{strange}}}]", form)


@pytest.mark.parametrize(
    ("reasoning", "objects", "answer_format"),
    [
        ("x", [GroundedObject(None, (Point(1, 2),))], "seg_zero"),
        ("x", [GroundedObject(None, (Point(1, 2),))], "vision_reasoner_box"),
        ("x", [GroundedObject(Box(1, 2, 3, 4), ())], "vision_reasoner_points"),
        ("x", [SEG_ZERO_OBJECT], "vision_reasoner"),
        ("x", [SEG_ZERO_OBJECT] * 2, "seg_zero"),
        ("x", [GroundedObject(Box(1, 2, 3, 4), ())], "seg_zero"),
        ("so </think> there", [], "seg_zero"),
    ],
)
def test_what_a_format_cannot_hold_is_not_written(reasoning, objects, answer_format):
    with pytest.raises(ValueError):
        format_answer(reasoning, objects, answer_format)
