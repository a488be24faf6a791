"""For everyone: axe-core's rules, a phone's width, dark and light, the keyboard."""

from typing import TYPE_CHECKING

import pytest

from tests.segzero_console.page.conftest import open_page
from tests.segzero_console.page.truth import ask, expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.segzero_console.page.console import Console

pytestmark = pytest.mark.slow

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python isn't installed"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(
    console: "Console", chromium: "Browser", scheme: str, width: int
):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with open_page(console, chromium, **options) as page:
        ask(page, "the blue cone", "tip")
        page.locator(".light").first.click()
        assert _serious(page) == []  # while it thinks
        page.wait_for_selector("#objects li")
        page.click("#correct")
        page.wait_for_selector("#stage[data-correcting=ready]")
        assert _serious(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.click("#show-help")
        assert _serious(page) == []
        page.click("#close-help")


def test_the_theme_can_be_switched_and_stays(page: "Page"):
    def background() -> str:
        return page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    page.click("#theme")
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: light")
    light = background()
    page.click("#theme")
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: dark")
    dark = background()
    assert dark != light
    page.reload()
    page.wait_for_selector("#theme:not(:empty)")
    assert background() == dark


def test_all_controls_are_reached_with_the_tabulator(page: "Page"):
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.id"))
    wanted = {"theme", "show-help", "stage", "pause", "correct", "question", "send", "goal"}
    assert wanted <= set(reached)


def test_a_slash_goes_to_the_question_and_space_pauses(page: "Page"):
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    page.focus("#stage")
    page.keyboard.press(" ")
    expect(page.locator("#kept")).to_be_visible()


def test_a_screen_reader_hears_sentences_and_the_answer(page: "Page"):
    ask(page, "the blue cone")
    expect(page.locator("#spoken p").last).to_have_text("the blue cone: 1 object")
    expect(page.locator("#spoken")).to_have_attribute("aria-live", "polite")


def test_the_diagnostics_have_their_text_behind_them(page: "Page"):
    light = page.locator("[data-light=models]")
    light.click()
    expect(page.locator("#light-text")).to_contain_text("demo")
    light.click()
    expect(page.locator("#light-text")).to_be_hidden()


def _serious(page: "Page") -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {item['nodes'][0]['html']}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
