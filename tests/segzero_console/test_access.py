"""Who may open the page and its WebSocket."""

import pytest

from segzero_console.access import Access, is_loopback

LOCAL, GUARDED = Access("", 8365), Access("a-long-token", 8365)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert Access.choose(host, 1, None).token == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "robot.local"])
def test_where_others_come_a_token_is_made(host: str) -> None:
    assert not is_loopback(host)
    first, second = (Access.choose(host, 1, None).token for _ in range(2))
    assert len(first) >= 20 and first != second


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8365", True),
        ("localhost:8365", True),
        ("[::1]:8365", True),
        ("evil.example:8365", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_answered(host: str, known: bool) -> None:
    assert LOCAL.knows_host({"host": host}) == known


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://127.0.0.1:8365", True),
        ("http://127.0.0.1:9999", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://[::1", False),
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str, same: bool) -> None:
    assert LOCAL.same_origin({"host": "127.0.0.1:8365", "origin": origin}) == same


def test_a_program_without_an_origin_is_no_foreign_page() -> None:
    assert LOCAL.same_origin({"host": "127.0.0.1:8365"})


@pytest.mark.parametrize(
    ("cookie", "query", "opened"),
    [
        ("", {"token": "a-long-token"}, True),
        ("segzero_console_8365=a-long-token", {}, True),
        ("other=1; segzero_console_8365=a-long-token", {}, True),
        ("segzero_console_9999=a-long-token", {}, False),
        ("", {"token": "a-long-tokeN"}, False),
        ("", {"token": "ä\ud800"}, False),
        ("segzero_console_8365=", {}, False),
        ("", {}, False),
    ],
)
def test_the_token_opens_by_cookie_or_address(
    cookie: str, query: dict[str, str], opened: bool
) -> None:
    assert GUARDED.is_open({"cookie": cookie}, query) == opened
