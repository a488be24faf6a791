"""What the page does when its server goes away and comes back."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.segzero_console.page.console import free_port, start_console
from tests.segzero_console.page.truth import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_a_killed_server_is_named_and_its_return_noticed(chromium: "Browser", tmp_path: "Path"):
    folder, port = tmp_path / "pictures", free_port()
    folder.mkdir()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / "one.png")
    arguments = ("--source", str(folder), "--out", str(tmp_path / "rows"))
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    with start_console(*arguments, port=port) as first:
        page.goto(first.url)
        page.wait_for_selector("#stage[data-index='0']")
    expect(page.locator("#connection")).to_contain_text("server is gone")
    with start_console(*arguments, port=port):
        page.wait_for_selector("body[data-connection=open]")
        page.wait_for_selector("#stage[data-index='0']")
        expect(page.locator("#connection")).to_be_hidden()
    page.close()
