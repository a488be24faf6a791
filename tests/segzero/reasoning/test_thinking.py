"""The thinking, told while it is written, is what is read from the whole completion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzero.reasoning import answers
from segzero.reasoning.thinking import ThinkingStream


def stream(pieces: list[str]) -> str:
    thinking = ThinkingStream()
    return "".join([*(thinking.feed(piece) for piece in pieces), thinking.end()])


WORDS = st.text(st.sampled_from("abc </>thinkaswer[{\n")).filter(
    lambda text: "<think>" not in text and "</think>" not in text and "<answer>" not in text
)


@st.composite
def completions(draw: st.DrawFn) -> list[str]:
    """A completion in pieces of any length, with or without its opening tag."""
    reasoning = draw(WORDS)
    blank = draw(st.sampled_from(["", " ", "\n\n"]))
    if draw(st.booleans()):
        text = f"{blank}<think>{reasoning}</think>{blank}<answer>[]</answer>"
    else:
        text = f"{blank}w{reasoning}</think>[]"
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(completions())
def test_however_it_is_cut_the_stream_is_the_parsed_reasoning(pieces: list[str]) -> None:
    expected = answers.parse("".join(pieces), "vision_reasoner").reasoning
    assert stream(pieces).strip() == expected


@given(st.text(st.sampled_from("<think>/answer [{`")), st.integers(1, 5))
def test_no_text_trips_it_and_no_cut_matters(text: str, length: int) -> None:
    pieces = [text[at : at + length] for at in range(0, len(text), length)]
    assert stream(pieces) == stream([text])


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("<think>red, so", "red, so"),  # stopped in the middle
        ("<think>a < b, a </th", "a < b, a </th"),
        ("<think>red<answer>[]</answer>", "red"),  # never closed
        ('[{"bbox_2d": [1,2,3,4]}]', ""),
        ("```json\n[]\n```", ""),
        ("<answer>[]</answer>", ""),
        ("", ""),
    ],
)
def test_thinking_that_is_not_complete(text: str, thinking: str) -> None:
    assert stream(list(text)) == thinking


def test_every_piece_comes_as_soon_as_it_can_be_no_tag() -> None:
    thinking = ThinkingStream()
    assert [thinking.feed(piece) for piece in ("<thi", "nk> a", " b <", "3", " </think", ">x")] == [
        "",
        " a",
        " b ",
        "<3",
        " ",
        "",
    ]
    assert thinking.ended
