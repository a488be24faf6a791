"""While the models load: what is asked is told to wait, and can be cancelled at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from segzero_console.local import LocalBackend
from segzero_console.server import Server
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.browsing import Browser, serve

SHOWN = [{"points": [[5, 5, 1]]}]


@pytest.fixture
def loaded() -> threading.Event:
    """Set it to let the loading end: there are no weights."""
    return threading.Event()


@pytest.fixture
def server(loaded: threading.Event, pictures: Path, tmp_path: Path) -> Iterator[Server]:
    def load() -> SegZero:
        loaded.wait()
        raise CheckpointError("there are no weights")

    with serve(LocalBackend(load, FolderSource(pictures), "slow"), tmp_path) as server:
        yield server
        loaded.set()


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    browser = Browser(server)
    yield browser
    browser.close()


def test_a_question_is_told_that_it_waits_and_is_answered_afterwards(
    browser: Browser, loaded: threading.Event
) -> None:
    browser.send(type="ask", request="a", text="the cup")
    assert "slow is loading" in browser.wait("notice")["text"]
    loaded.set()
    ended = browser.wait("ended")
    assert (ended["request"], ended["error"]) == ("a", "there are no weights")


@pytest.mark.parametrize("request_", ["first", "second", "third"])
def test_a_question_that_waits_is_cancelled_at_once(browser: Browser, request_: str) -> None:
    for name in ("first", "second", "third"):
        browser.send(type="ask", request=name, text="the cup", goal=name)
    browser.send(type="cancel", request=request_)
    ended = browser.wait("ended")
    assert (ended["request"], ended["error_code"]) == (request_, "cancelled")


@pytest.mark.parametrize(
    ("message", "code"),
    [({"type": "clear", "goal": None}, "stopped"), ({"type": "stop", "goal": ""}, "stopped")],
)
def test_a_goal_that_waits_is_stopped_at_once(browser: Browser, message: dict, code: str) -> None:
    browser.send(type="ask", request="a", text="the cup")
    browser.send(**message)
    assert browser.wait("ended")["error_code"] == code


def test_a_newer_question_replaces_one_that_waits_at_once(browser: Browser) -> None:
    browser.send(type="ask", request="old", text="the cup")
    browser.send(type="ask", request="new", text="the cup")
    ended = browser.wait("ended")
    assert (ended["request"], ended["error_code"]) == ("old", "replaced")


def test_corrections_that_wait_hold_up_nothing_else(
    server: Server, browser: Browser, loaded: threading.Event
) -> None:
    others = [Browser(server) for _ in range(12)]
    for other in others:
        stamp = other.wait("frame")["stamp"]
        other.send(type="refine", request="r", stamp=stamp, objects=SHOWN)
    browser.send(type="ask", request="a", text="the cup")
    browser.send(type="cancel", request="a")
    assert browser.wait("ended")["error_code"] == "cancelled"
    loaded.set()
    for other in others:
        assert other.wait("error")["text"] == "there are no weights"
        other.close()
