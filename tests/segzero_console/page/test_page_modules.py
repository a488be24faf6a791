"""Single modules of the page, in the browser: masks of 16 bits, what is shown when, objects."""

import base64
import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segzero_console.viewers import SENT

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def _by_opencv(ids: NDArray[Any]) -> bytes:
    return cv2.imencode(".png", ids)[1].tobytes()


def _by_pillow(ids: NDArray[Any]) -> bytes:
    """With other filters of rows than OpenCV's."""
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG", optimize=True)
    return file.getvalue()


@pytest.mark.parametrize("encode", [_by_opencv, _by_pillow])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_ids_of_a_mask_are_read_exactly(shared_page: "Page", kind: type, encode: Any):
    noise = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (37, 53))
    ids: NDArray[Any] = noise.astype(kind)
    ids[5:20, 10:40] = ids[7, 7]
    read = shared_page.evaluate(
        """async (text) => {
          const { decodeIds } = await import("/static/png.js");
          const mask = await decodeIds(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
          return [mask.width, mask.height, Array.from(mask.ids)];
        }""",
        base64.b64encode(encode(ids)).decode(),
    )
    assert read == [53, 37, ids.ravel().tolist()]


def test_a_picture_in_colours_is_no_mask(shared_page: "Page"):
    png = base64.b64encode(_by_opencv(np.zeros((4, 4, 3), np.uint8))).decode()
    error = shared_page.evaluate(
        """async (text) => {
          const { decodeIds } = await import("/static/png.js");
          const png = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          return decodeIds(png).catch((error) => error.message);
        }""",
        png,
    )
    assert "must be a grey PNG" in error


def test_masks_stay_on_their_frame_then_fade_then_go(shared_page: "Page"):
    shown = shared_page.evaluate(
        """async () => {
          const { View } = await import("/static/view.js");
          const result = { state: "tracked", objects: [{}], received: 0 };
          const view = new View(true);
          const old = { name: "old", result };
          view.addFrame(old);
          view.addResult(old, 0);
          view.addFrame({ name: "new", result: null });
          return [10, 1000, 10000].map((now) => {
            const { frame, result: drawn, opacity } = view.choose(now);
            return [frame.name, drawn === result, opacity];
          });
        }"""
    )
    assert shown[0] == ["old", True, 1]
    assert shown[1][:2] == ["old", True] and 0 < shown[1][2] < 1
    assert shown[2] == ["new", False, 1]


def test_masks_that_come_late_still_find_their_frame(shared_page: "Page"):
    found = shared_page.evaluate(
        """async (sent) => {
          const { Frames } = await import("/static/frames.js");
          const frames = new Frames();
          const parts = [new Uint8Array()];
          const add = (stamp) => frames.add({ stamp, width: 1, height: 1, parts });
          ["p1", "p2", "late"].forEach(add);
          frames.pin("p1", "p2");
          for (let number = 1; number < sent; number += 1) add(`${number}`);
          const late = { stamp: "late", state: "tracked", objects: [], parts: [] };
          return frames.addResult(late)?.stamp;
        }""",
        SENT,
    )
    assert found == "late"


def test_an_object_that_is_lost_is_listed_with_the_others(shared_page: "Page"):
    shared_page.click("#pause")
    rows = shared_page.evaluate(
        """async () => {
          const { listObjects } = await import("/static/objects.js");
          const seen = { id: 1, label: "mug", goal: "cup", lost: false, score: 0.9 };
          const near = { ...seen, distance: 0.834, size: [0.12, 0.13, 0.1] };
          listObjects([near, { ...seen, id: 2, lost: true }]);
          return Array.from(document.querySelectorAll("#objects li"), (row) => row.textContent);
        }"""
    )
    assert rows == ["1 mug0.90, 0.83 m away, 12 × 13 × 10 cm", "2 muglost"]
