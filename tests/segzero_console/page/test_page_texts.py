"""Text is text: what people type and models write is shown as it is, and harms nothing."""

from typing import TYPE_CHECKING

import pytest

from tests.segzero_console.page.truth import ask, expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

HOSTILE = {
    "image": "<img src=x onerror=\"document.body.dataset.broken='yes'\">",
    "script": "</h3><script>document.body.dataset.broken='yes'</script>",
    "entity": "&lt;b&gt; &amp; <b>bold</b>",
    "style": "<style>body{display:none}</style> the ball",
    "right to left": "الكرة الحمراء the ball",
    "one long word": "ball" * 300,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_question_is_shown_as_it_was_typed(shared_page: "Page", text: str):
    ask(shared_page, text, "<i>goal</i>")
    card = shared_page.locator(".card").first
    assert (card.locator("h3 bdi").text_content() or "") == text
    assert card.locator("h3 small").text_content() == "<i>goal</i>"
    assert shared_page.locator("h3 img, h3 script, h3 b, h3 i, h3 style, .goal i").count() == 0
    assert shared_page.evaluate("() => document.body.dataset.broken") is None
    _stop(shared_page)
    assert _fits(shared_page)


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m ball", "ball \u202egnp.exe", "ball " * 2500], ids=str.__len__
)
def test_what_can_be_no_question_is_answered_by_words(shared_page: "Page", text: str):
    cards = shared_page.locator(".card").count()
    shared_page.evaluate("(text) => { question.value = text }", text)
    shared_page.press("#question", "Enter")
    expect(shared_page.locator(".card")).to_have_count(cards + 1)
    _stop(shared_page)
    answer = shared_page.locator(".card .answer").first.text_content() or ""
    assert answer and "\x1b" not in answer and "\u202e" not in answer
    assert _fits(shared_page)


def test_a_picture_that_is_none_is_refused(shared_page: "Page"):
    file = {"name": "<b>no.png", "mimeType": "image/png", "buffer": b"not a picture"}
    shared_page.set_input_files("#file", files=[file])  # type: ignore[arg-type]
    expect(shared_page.locator("#picture-name")).to_have_text("<b>no.png")
    ask(shared_page, "the red ball")
    answer = shared_page.locator(".card:first-child[data-state=failed] .answer")
    expect(answer).to_contain_text("picture")
    expect(shared_page.locator("#about-picture")).to_be_hidden()


def _stop(page: "Page") -> None:
    """Cancel what is open, and wait until it has ended."""
    page.evaluate("() => cancel.hidden || cancel.click()")
    page.wait_for_selector(".card:first-child:not(.open)")


def _fits(page: "Page") -> bool:
    return page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
