import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzero.errors import BadQuestion
from segzero.reasoning.answers import FORMATS, format_answer, parse
from segzero.reasoning.prompts import (
    MAX_QUESTION,
    PROMPTS,
    SHORT_ANSWER,
    PromptTemplate,
    build_messages,
    clean_question,
)
from tests.segzero.qwen_tokenizer import SPECIAL

SEG_ZERO = """Please find 'the red ball' with bbox and points.Compare the difference between \
objects and find the most closely matched one.Output the thinking process in <think> </think> and \
final answer in <answer> </answer> tags.Output the one bbox and points of two largest inscribed \
circles inside the interested object in JSON format.i.e., <think> thinking process here \
</think><answer>{'bbox': [10,100,200,210], 'points_1': [30,110], 'points_2': [35,180]}</answer>"""
VISION_REASONER = """Please find "the red ball" with bboxs and points.Compare the difference \
between object(s) and find the most closely matched object(s).Output the thinking process in \
<think> </think> and final answer in <answer> </answer> tags.Output the bbox(es) and point(s) \
inside the interested object(s) in JSON format.i.e., <think> thinking process here \
</think><answer>[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, \
{"bbox_2d": [225,296,706,786], "point_2d": [302,410]}]</answer>"""


def user_text(prompt: str | PromptTemplate, question: str) -> str:
    return build_messages(prompt, question)[1]["content"][1]["text"]


@pytest.mark.parametrize(
    ("prompt", "expected"), [("seg_zero", SEG_ZERO), ("vision_reasoner", VISION_REASONER)]
)
def test_prompts_are_the_authors_word_for_word(prompt, expected):
    assert user_text(prompt, "the red ball") == expected


@pytest.mark.parametrize("layout", ["seg_zero", "vision_reasoner"])
@pytest.mark.parametrize(
    ("variant", "asked", "not_asked"),
    [("no_thinking", ["bbox", "point"], ["think"]), ("box", ["think", "bbox"], ["point"]),
     ("points", ["think", "point"], ["bbox"])],
)  # fmt: skip
def test_a_variant_asks_for_all_but_what_it_leaves_out(layout, variant, asked, not_asked):
    text = user_text(f"{layout}_{variant}", "the red ball")
    assert [word in text for word in (*asked, *not_asked)] == [True] * len(asked) + [False]


@pytest.mark.parametrize("answer_format", FORMATS)
def test_the_example_in_a_prompt_is_an_answer_in_its_format(answer_format):
    _, _, example = PROMPTS[answer_format].text.partition("i.e., ")
    answer = parse(example, answer_format, strict=True)
    assert format_answer(answer.reasoning, answer.objects, answer_format) == example


def test_system_turn_comes_first_and_the_image_before_the_text():
    system, user = build_messages("seg_zero", "the red ball")
    assert system == {"role": "system", "content": "You are a helpful assistant."}
    assert user["role"] == "user"
    assert [part["type"] for part in user["content"]] == ["image", "text"]


@pytest.mark.parametrize(
    ("prompt", "question", "asked"),
    [
        ("seg_zero", "The Red Ball.", "'the red ball'"),
        ("seg_zero", "Which one is red?", "'which one is red?'"),
        ("vision_reasoner", "Which one is red?", '"which one is red"'),
        ("vision_reasoner", 'the "ball"!', '"the "ball"'),
        ("vision_reasoner", "  Grün и 球  ", '"grün и 球"'),
    ],
)
def test_each_prompt_cleans_the_question_as_its_authors_do(prompt, question, asked):
    assert f"Please find {asked} with" in user_text(prompt, question)


def test_a_short_answer_is_asked_for_with_the_question_as_it_stands():
    text = user_text(SHORT_ANSWER, "What does the Sign say?")
    assert text == "What does the Sign say?\nAnswer the question using a single word or phrase."


def test_a_question_that_looks_like_the_placeholder_stays_itself():
    assert "'{question}'" in user_text("seg_zero", "{Question}")


@pytest.mark.parametrize(
    "question",
    ["", " \n\t ", "...", '"?!"', "x" * (MAX_QUESTION + 1), "a\x00b", "a\x1bb", "\udcff", "\ufffd"],
)
def test_bad_questions_are_refused(question):
    with pytest.raises(BadQuestion):
        clean_question(question)


@pytest.mark.parametrize("question", [None, 7, b"the red ball"])
def test_what_is_no_text_is_refused(question):
    with pytest.raises(BadQuestion, match="must be text"):
        clean_question(question)


def test_an_unknown_prompt_is_named():
    with pytest.raises(ValueError, match="seg_one"):
        build_messages("seg_one", "the red ball")


@pytest.mark.parametrize("token", [*SPECIAL, "<think>", "</answer>", "<image>", "<0x0A>"])
def test_control_tokens_lose_their_spelling_but_stay_readable(token):
    cleaned = clean_question(f"the {token} ball")
    assert token not in cleaned
    assert cleaned == f"the < {token[1:]} ball"


@given(st.text(st.sampled_from("<|>/ \nimagethinkaswer_."), max_size=60))
def test_cleaning_twice_changes_nothing(text):
    try:
        once = clean_question(text)
    except BadQuestion:
        return
    assert clean_question(once) == once


@given(st.text(max_size=80), st.sampled_from(sorted(PROMPTS)))
def test_any_text_makes_a_prompt_or_a_bad_question(text, prompt):
    try:
        messages = build_messages(prompt, text)
    except BadQuestion:
        return
    assert messages[1]["content"][1]["text"].count("<answer>") == 2
