"""`python benchmarks/console_glass.py`: from a frame's stamp to its mask in the browser.

The film of `console_viewers.py` is followed in the server's process. Chromium on this machine shows
the page, and notes the time at the first screen refresh after each mask was drawn. What the server
says of the same frame, from the picture to its masks, is following's own time; the rest is
encoding, sending, decoding and drawing.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import records
from console_viewers import Served, follow, serving

NOTE = """() => {
  window.drawn = [];
  const stage = document.getElementById("stage");
  new MutationObserver(() => {
    const stamp = stage.dataset.maskStamp;
    if (stage.dataset.state !== "tracked") return;
    requestAnimationFrame(() => {
      window.drawn.push([stamp, performance.timeOrigin + performance.now()]);
    });
  }).observe(stage, { attributeFilter: ["data-mask-stamp"] });
}"""

SHOWN = """() => JSON.stringify({
  stage: { ...stage.dataset },
  hidden: document.hidden,
  frames: document.getElementById("frame-rate").textContent,
  masks: document.getElementById("mask-rate").textContent,
  notices: notices.textContent,
  connection: document.body.dataset.connection,
})"""
"""What the page shows, for people who look for the reason that it isn't what was expected."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    out = records.RESULTS / "console-glass.json"
    parser.add_argument("--out", type=Path, default=out, help="default: %(default)s")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    load = os.getloadavg()[0]
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        print("Chromium isn't installed: apt-get install chromium", file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder, serving(options.profile, Path(folder)) as served:
        figures = watch(served, program, options.seconds)
    figures["load before"] = round(load, 1)
    records.record(figures, ("torch", "starlette", "uvicorn", "websockets"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def watch(served: Served, program: str, seconds: float) -> dict[str, Any]:
    """Look at the page for a while."""
    from playwright.sync_api import Browser, Page, TimeoutError, WebSocket, sync_playwright

    latencies: dict[str, float] = {}

    def hear(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: note(data, latencies))

    def open_page(browser: Browser) -> Page | None:
        """A page that shows what is followed; None if it gets lost, as it may on a slow host."""
        page = browser.new_page()
        page.on("websocket", hear)
        page.goto(served.server.url)
        follow(served)
        try:
            page.wait_for_selector("#stage[data-state=tracked]", timeout=10_000)
        except TimeoutError:
            print(f"nothing is followed: {page.evaluate(SHOWN)}", file=sys.stderr)
            page.close()
            return None
        return page

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        version = browser.version
        pages = (open_page(browser) for _ in range(10))
        page = next(filter(None, pages), None)
        if page is None:
            raise TimeoutError("nothing is followed")
        time.sleep(2.0)
        page.evaluate(NOTE)
        page.wait_for_timeout(1000 * seconds)
        drawn = page.evaluate("() => window.drawn")
        browser.close()
    pairs = [(at - int(stamp) / 1e6, latencies[stamp]) for stamp, at in drawn if stamp in latencies]
    return {
        "masks drawn": len(pairs),
        "stamp to drawn mask [ms]": records.spread([total for total, _ in pairs]),
        "following alone [ms]": records.spread([1000 * own for _, own in pairs]),
        "the rest [ms]": records.spread([total - 1000 * own for total, own in pairs]),
        "browser": f"Chromium {version}",
    }


def note(data: str | bytes, latencies: dict[str, float]) -> None:
    """Keep what the server says of a followed frame."""
    from segzero_console.messages import unpack

    if isinstance(data, bytes):
        header, _ = unpack(data)
        if header["type"] == "result" and header["state"] == "tracked":
            latencies[header["stamp"]] = header["latency"]


if __name__ == "__main__":
    sys.exit(main())
