"""The server, over real sockets: the page's headers, its WebSocket, and what it survives."""

import io
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed

from segzero_console.local import LocalBackend
from segzero_console.reading import MAX_MESSAGE
from segzero_console.server import FORBIDDEN, MAX_VIEWERS, STATIC, TOO_MANY, Server
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.browsing import Browser, serve
from tests.segzero_console.conftest import no_models

Open = Callable[..., Browser]


def get(server: Server, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(server.url.rstrip("/") + path, headers=headers)
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def closed(browser: Browser) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            browser.receive()
    assert caught.value.rcvd
    return caught.value.rcvd.code


def test_the_page_is_there_where_its_files_are_links(
    pictures: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in STATIC.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setattr("segzero_console.server.STATIC", tmp_path)
    with serve(LocalBackend(no_models, FolderSource(pictures), "none"), rows) as server:
        for file in STATIC.iterdir():
            assert get(server, f"/static/{file.name}")[0] == 200, file.name
        assert get(server, "/")[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/download/none", "/nowhere", "/static/none"])
def test_every_response_forbids_inline_code_and_frames(server: Server, path: str) -> None:
    _, headers, _ = get(server, path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/download/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_static_files(server: Server, path: str) -> None:
    status, _, body = get(server, path)
    assert status == 404
    assert b"import" not in body and b"root:" not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "192.168.0.9"])
def test_a_foreign_name_is_refused(server: Server, host: str) -> None:
    assert get(server, "/healthz", Host=host)[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_page_gets_no_websocket(open_browser: Open, origin: str) -> None:
    assert closed(open_browser(origin=origin)) == FORBIDDEN


def test_a_page_learns_how_things_stand(browser: Browser) -> None:
    hello = browser.receive()
    assert hello["type"] == "hello"
    assert hello["source"]["kind"] == "folder"
    assert (hello["source"]["length"], hello["source"]["live"]) == (10, False)
    assert set(hello["can"]) >= {"ask", "save", "seek"}
    assert browser.wait("player")["index"] == 0
    frame = browser.wait("frame")
    assert (frame["width"], frame["height"], frame["index"]) == (64, 48, 0)
    assert abs(np.array(Image.open(io.BytesIO(frame["parts"][0]))).mean() - 20) < 2


def test_a_bad_picture_is_told_and_left_out(browser: Browser) -> None:
    browser.send(type="seek", index=2)
    notice = browser.wait("notice", lambda m: "3.png" in m["text"])
    assert notice["level"] == "error"
    browser.send(type="seek", index=3)
    assert browser.wait("frame", lambda m: m["index"] == 3)
    browser.send(type="seek", index=0)
    browser.wait("frame", lambda m: m["index"] == 0)


def test_missing_models_are_an_answer_and_a_light(browser: Browser) -> None:
    browser.send(type="ask", request="m", text="the cup")
    ended = browser.wait("ended", lambda m: m["request"] == "m")
    assert (ended["state"], "no weights" in ended["error"]) == ("failed", True)
    lights = browser.wait("lights", lambda m: len(m["lights"]) > 2)
    assert ("models", "error") in {(x["name"], x["level"]) for x in lights["lights"]}


@pytest.mark.parametrize("text", ["", " \n", "a" * 2001])
def test_an_unusable_question_is_told_at_once(browser: Browser, text: str) -> None:
    browser.send(type="ask", request="bad", text=text)
    assert browser.wait("error")["code"] == "bad_question"


def test_a_row_that_says_nothing_is_there_needs_no_models(browser: Browser, rows: Path) -> None:
    stamp = browser.wait("frame")["stamp"]
    browser.send(type="save", request="s", stamp=stamp, question="a spoon", objects=[])
    saved = browser.wait("saved")
    lines = (rows / "questions.jsonl").read_text().splitlines()
    assert saved["rows"] == len(lines)
    assert json.loads(lines[-1])["ids"] == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "save", "stamp": "1", "question": "a", "objects": []}, "unknown_stamp"),
        ({"type": "refine", "stamp": "1", "objects": [{"points": [[1, 1, 1]]}]}, "unknown_stamp"),
        ({"type": "cancel", "request": "none"}, "unavailable"),
        ({"type": "export", "what": "mp5"}, "bad_request"),
        ({"type": "carry", "question": " ", "every": 1}, "bad_question"),
    ],
)
def test_a_request_that_can_not_be_done_is_told_to_its_page(
    browser: Browser, message: dict, code: str
) -> None:
    browser.send(**message)
    assert browser.wait("error")["code"] == code


@pytest.mark.parametrize(
    "points", [[[64, 1, 1]], [[-1, 1, 1]], [[1, 1, 1], [1, 48, 0]]], ids=["right", "left", "below"]
)
def test_a_point_outside_of_the_frame_is_refused(browser: Browser, points: list) -> None:
    stamp = browser.wait("frame")["stamp"]
    browser.send(type="refine", stamp=stamp, objects=[{"points": points}])
    assert browser.wait("error")["code"] == "bad_prompt"


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50], ids=["none", "text", "png"]
)
def test_a_file_that_is_no_picture_is_refused(browser: Browser, content: bytes) -> None:
    browser.send_picture(content)
    assert browser.wait("error")["code"] in ("bad_image", "bad_request")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(browser: Browser) -> None:
    file = io.BytesIO()
    Image.new("1", (6000, 6000)).save(file, "PNG")
    browser.send_picture(file.getvalue())
    assert browser.wait("error")["code"] == "bad_image"


def test_a_dropped_picture_is_shown_to_its_page_alone(open_browser: Open) -> None:
    mine, other = open_browser(), open_browser()
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (0, 0, 255)).save(file, "PNG")
    mine.send_picture(file.getvalue(), request="mine")
    assert mine.wait("ended")["request"] == "mine"
    other.wait("lights")
    other.wait("lights")
    assert "mine" not in {message.get("request") for message in other.seen}


@pytest.mark.parametrize(
    "message", ["{", '{"type":"ask"}', b"\x01", b"\xff" * 8], ids=["json", "field", "short", "size"]
)
def test_after_a_bad_message_the_next_one_works(browser: Browser, message: str | bytes) -> None:
    browser.socket.send(message)
    assert browser.wait("error")["code"] == "bad_request"
    browser.send(type="pause")
    browser.send(type="seek", index=0)
    assert browser.wait("frame")


def test_a_message_over_the_limit_ends_that_page_alone(open_browser: Open) -> None:
    flood, other = open_browser(), open_browser()
    with pytest.raises(ConnectionClosed):
        flood.socket.send(b"\0" * (MAX_MESSAGE + 1))
        while True:
            flood.receive()
    other.send(type="seek", index=0)
    assert other.wait("frame")


def test_more_viewers_than_allowed_are_told_so(server: Server, open_browser: Open) -> None:
    viewers = [open_browser() for _ in range(MAX_VIEWERS)]
    for viewer in viewers:
        viewer.receive()
    assert closed(open_browser()) == TOO_MANY


def test_a_file_can_be_fetched_once(server: Server, browser: Browser) -> None:
    stamp = browser.wait("frame")["stamp"]
    browser.send(type="export", what="png", stamp=stamp)
    url = browser.wait("download")["url"]
    status, headers, body = get(server, url)
    assert status == 200 and body.startswith(b"\x89PNG")
    assert headers["content-disposition"].startswith('attachment; filename="segzero_')
    assert get(server, url)[0] == 404


def test_half_a_request_holds_up_nobody(server: Server) -> None:
    host, port = server.socket.getsockname()
    with socket.create_connection((host, port)) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert get(server, "/healthz")[0] == 200


@pytest.fixture(scope="module")
def guarded(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rows = tmp_path_factory.mktemp("guarded") / "rows"
    backend = LocalBackend(no_models, FolderSource(pictures), "none")
    with serve(backend, rows, token="a-long-token") as server:
        yield server


def test_the_token_becomes_a_cookie_that_scripts_can_not_read(guarded: Server) -> None:
    assert get(guarded, "/")[0] == 403
    assert get(guarded, "/?token=wrong")[0] == 403
    status, headers, _ = get(guarded, "/?token=a-long-token")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert get(guarded, "/", Cookie=cookie.partition(";")[0])[0] == 200


def test_without_the_token_there_is_no_websocket(guarded: Server) -> None:
    browser = Browser(guarded)
    assert closed(browser) == FORBIDDEN
    browser.close()


def test_the_cookie_opens_the_websocket(guarded: Server) -> None:
    browser = Browser(guarded, additional_headers={"Cookie": "segzero_console_0=a-long-token"})
    assert browser.receive()["type"] == "hello"
    browser.close()
