"""What one sees while an object is followed: its thinking, its mask, what is known about it."""

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.segzero_console.page.truth import (
    TRACKED,
    decode,
    expect,
    iou,
    read_stage,
    render,
    true_mask,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_the_thinking_grows_piece_by_piece(following_page: "Page"):
    noted = dict.fromkeys(following_page.evaluate("() => window.thoughts"))
    texts = [text for text in noted if text]
    assert len(texts) > 5
    assert all(later.startswith(text) for text, later in pairwise(texts[:-1]))


def test_the_answer_has_its_seconds_by_stage(following_page: "Page"):
    card = following_page.locator(".card").first
    expect(card.locator(".answer")).to_have_text("1 object")
    assert "thinking" in card.locator(".stages dt").all_text_contents()
    assert re.fullmatch(r"[\d.]+ s", card.locator(".stages dd").first.text_content() or "")


def test_the_mask_lies_on_the_object_in_the_picture_that_is_shown(following_page: "Page"):
    seen = read_stage(following_page, TRACKED)
    assert seen["stamp"] == seen["maskStamp"]
    assert iou(seen["mask"], true_mask(seen["index"], "red", "ball")) >= 0.8
    difference = np.abs(decode(seen["png"]).astype(int) - render(seen["index"]).rgb)
    assert difference.mean() < 4  # what JPEG costs; the picture after it differs by more


def test_the_mask_follows_the_object(following_page: "Page"):
    first = read_stage(following_page, TRACKED)
    is_later = f"Number(stage.dataset.index) > {first['index'] + 15}"
    later = read_stage(following_page, f"{TRACKED} && {is_later}")
    truth = true_mask(later["index"], "red", "ball")
    assert iou(later["mask"], truth) >= 0.8
    assert iou(first["mask"], truth) < 0.8  # it has moved


def test_the_pointer_tells_about_the_object_below_it(following_page: "Page"):
    # In one go: on a slow host, the masks may be gone before the next command of this test.
    seen = read_stage(following_page, f"{TRACKED} && (pause.click(), true)")
    x, y = _middle(seen["mask"])
    place = following_page.locator("#stage").bounding_box()
    assert place
    following_page.mouse.move(
        place["x"] + place["width"] * x / 640, place["y"] + place["height"] * y / 480
    )
    expect(following_page.locator("#tip")).to_contain_text("the red ball")
    following_page.mouse.move(0, 0)
    following_page.click("#pause")
    expect(following_page.locator("#tip")).to_be_hidden()


@pytest.mark.parametrize(("button", "start"), [("png", b"\x89PNG"), ("coco", b"{"), ("mp4", b"")])
def test_what_is_seen_can_be_downloaded(following_page: "Page", button: str, start: bytes):
    with following_page.expect_download() as download:
        following_page.click(f"#export-{button}")
    path = download.value.path()
    assert path.read_bytes().startswith(start) and path.stat().st_size > 200


def _middle(mask: np.ndarray) -> tuple[int, int]:
    y, x = np.argwhere(mask).mean(axis=0)
    return int(x), int(y)
