"""One console over the simulated tabletop and one Chromium for all tests of the page.

They end with the last of these tests: the console computes all the time, and Playwright keeps an
event loop in this thread, beside which other tests can't have theirs.
"""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.segzero_console import browsing
from tests.segzero_console.page.console import Console, start_console
from tests.segzero_console.page.truth import ask

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def chromium() -> Iterator["Browser"]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        pytest.skip("Chromium isn't installed: apt-get install chromium")
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox doesn't work for root, as whom containers run.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    rows = tmp_path_factory.mktemp("console") / "rows"
    with start_console("--source", "tabletop", "--out", str(rows)) as running:
        running.rows = rows
        yield running


@contextlib.contextmanager
def open_page(console: Console, chromium: "Browser", **options: Any) -> Iterator["Page"]:
    """Open a page that shows the tabletop; a test must leave no error in it."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.goto(console.url)
    opened.wait_for_selector("#stage[data-index]:not([data-index=''])")
    yield opened
    context.close()
    _stop_all(console)
    assert errors == []


def _stop_all(console: Console) -> None:
    """Leave no goal and no question for the next test."""
    browser = browsing.Browser(console)
    browser.send(type="clear", goal=None)
    browser.send(type="cancel", request="none")  # it is refused after the goals are stopped
    browser.wait("error", lambda message: message["request"] == "none")
    browser.close()


@pytest.fixture
def page(console: Console, chromium: "Browser") -> Iterator["Page"]:
    with open_page(console, chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_page(console: Console, chromium: "Browser") -> Iterator["Page"]:
    """One page for the tests of a module; a fresh one costs a second."""
    with open_page(console, chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def following_page(console: Console, chromium: "Browser") -> Iterator["Page"]:
    """A page that asked for the red ball and follows it; it noted how the thinking came."""
    with open_page(console, chromium) as opened:
        opened.evaluate(
            """() => {
              window.thoughts = [];
              const note = () => {
                const thought = document.querySelector(".card .thought");
                if (thought) window.thoughts.push(thought.textContent);
              };
              const all = { childList: true, characterData: true, subtree: true };
              new MutationObserver(note).observe(document.getElementById("thoughts"), all);
            }"""
        )
        ask(opened, "the red ball")
        opened.wait_for_selector("#stage[data-state=tracked]")
        yield opened
