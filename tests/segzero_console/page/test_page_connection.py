"""What the page does when its server goes away and comes back."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.segzero_console.page.console import free_port, start_console

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser


def test_a_killed_server_is_named_and_its_return_noticed(chromium: "Browser", tmp_path: "Path"):
    folder, port = tmp_path / "pictures", free_port()
    folder.mkdir()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / "one.png")
    arguments = ("--source", str(folder), "--out", str(tmp_path / "rows"))
    page = chromium.new_page()
    with start_console(*arguments, port=port) as first:
        page.goto(first.url)
        page.wait_for_selector("#stage[data-index='0']")
    page.wait_for_selector("#connection:not([hidden])")
    assert "server is gone" in (page.locator("#connection").text_content() or "")
    with start_console(*arguments, port=port):
        page.wait_for_selector("body[data-connection=open]")
        page.wait_for_selector("#stage[data-index='0']")
        assert not page.locator("#connection").is_visible()
    page.close()
