"""What the page shows, and what the simulator says is true."""

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero_console.sources.tabletop import SEED
from segzero_sim.motion import set_in_motion
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import Frame, TabletopRenderer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, LocatorAssertions, Page

RATE = 10
WIDTH, HEIGHT = 640, 480

# Both canvases and the frame's name are read in one go: nothing is drawn between.
_READ = """() => {
  const runs = [];
  const { data } = masks.getContext("2d").getImageData(0, 0, masks.width, masks.height);
  let [inside, count] = [false, 0];
  for (let at = 3; at < data.length; at += 4) {
    if (data[at] > 0 !== inside) { runs.push(count); inside = !inside; count = 0; }
    count += 1;
  }
  runs.push(count);
  const { index, state, stamp, maskStamp } = stage.dataset;
  const png = picture.toDataURL("image/png");
  const { width, height } = masks;
  return { runs, width, height, index: Number(index), state, stamp, maskStamp, png };
}"""


TRACKED = "stage.dataset.state === 'tracked'"
"""Condition of `read_stage`: objects are followed in what is shown."""


def read_stage(page: "Page", when: str = "true") -> dict[str, Any]:
    """What is drawn: {index, state, stamp, maskStamp, mask, png} of one instant.

    Args:
        page: The page.
        when: Condition in JavaScript; the first instant at which it holds is read.
    """
    seen = page.wait_for_function(f"() => ({when}) && ({_READ})()").json_value()
    runs = seen.pop("runs")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return seen | {"mask": mask.reshape(seen["height"], seen["width"])}


def expect(locator: "Locator") -> "LocatorAssertions":
    """Playwright's `expect`, which waits; how long, the fixture `chromium` says."""
    from playwright.sync_api import expect

    return expect(locator)


def ask(page: "Page", question: str, goal: str = "") -> None:
    """Type a question and send it; its card is there."""
    newest = page.locator(".card").first
    before = newest.get_attribute("data-request") if newest.count() else ""
    page.fill("#goal", goal)
    page.fill("#question", question)
    page.press("#question", "Enter")
    expect(page.locator(f".card:first-child:not([data-request='{before}'])")).to_have_count(1)


def decode(png: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a data URL."""
    data = base64.b64decode(png.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@cache
def _moving() -> tuple[Any, TabletopRenderer]:
    return set_in_motion(sample_scene(SEED)), TabletopRenderer(WIDTH, HEIGHT)


@cache
def render(index: int) -> Frame:
    """The tabletop's frame with an index."""
    motion, renderer = _moving()
    return renderer.render(motion.at(index / RATE), depth=False)


def true_mask(index: int, colour: str, shape: str) -> NDArray[np.bool_]:
    """(H, W) mask of an object in the frame with an index."""
    objects = sample_scene(SEED).objects
    names = [(item.colour, item.shape) for item in objects]
    return render(index).ids == 1 + names.index((colour, shape))


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max(1, (one | other).sum()))
