"""`python scripts/console_pictures.py`: the pictures of the console in `docs/`.

It starts the console over the simulated tabletop, does in Chromium what a reader would do, and
writes what is seen. It needs Chromium and playwright.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
PORT = 8399
GOALS = {"toy": "the red ball", "cup": "the orange mug", "tip": "the blue cone"}
DESKTOP, PHONE = (1280, 800), (390, 844)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS, help="folder (default: docs)")
    out = parser.parse_args().out
    with _console() as url, sync_playwright() as driver:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, png in pictures(browser, url):
            target = out / f"console_{name}.webp"
            Image.open(io.BytesIO(png)).convert("RGB").save(target, quality=80, method=6)
            print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
        browser.close()
    return 0


def pictures(browser: Browser, url: str) -> Iterator[tuple[str, bytes]]:
    """Use the page; yields names, and what is seen as PNG."""
    page = _open(browser, url, DESKTOP, "light")
    page.locator("[data-light=models].ok").wait_for()
    yield "first_sight", page.screenshot()
    questions = iter(GOALS.items())
    _ask(page, *next(questions))
    page.wait_for_function("() => document.querySelector('.thought')?.textContent.length > 40")
    yield "thinking", page.screenshot()
    for goal, question in questions:
        _ask(page, goal, question)
    page.wait_for_function(
        "() => document.querySelectorAll('#objects .object:not(.lost)').length === 3"
    )
    page.locator("#stage[data-state=tracked]").wait_for()
    yield "three_goals", page.screenshot()
    yield "correction", _correct(page)
    phone = _open(browser, url, PHONE, "dark")
    phone.locator("#stage[data-state=tracked]").wait_for()
    phone.locator("#objects li").first.wait_for()
    yield "phone", phone.screenshot()


def _correct(page: Page) -> bytes:
    page.emulate_media(color_scheme="dark")
    page.click("#correct")
    page.locator("#stage[data-correcting=ready]").wait_for()
    page.click("#nothing-there")
    page.fill("#row-question", "what would hold my coffee?")
    stage = page.locator("#stage").bounding_box()
    assert stage
    x, y, width, height = (stage[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(x + 0.2 * width, y + 0.4 * height)
    page.mouse.down()
    page.mouse.move(x + 0.4 * width, y + 0.75 * height, steps=4)
    page.mouse.up()
    page.locator("#stage[data-correcting=ready]").wait_for()
    page.keyboard.down("Shift")
    page.mouse.click(x + 0.22 * width, y + 0.68 * height)
    page.keyboard.up("Shift")
    page.locator("#stage[data-correcting=ready]").wait_for()
    return page.screenshot()


def _ask(page: Page, goal: str, question: str) -> None:
    page.fill("#goal", goal)
    page.fill("#question", question)
    page.press("#question", "Enter")


def _open(browser: Browser, url: str, size: tuple[int, int], scheme: str) -> Page:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page.set_default_timeout(60_000)
    page.goto(url)
    page.locator("#stage[data-index]:not([data-index=''])").wait_for()
    return page


@contextmanager
def _console() -> Iterator[str]:
    command = [sys.executable, "-m", "segzero_console.command", "--port", str(PORT)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*command, "--out", f"{folder}/rows"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
