"""Correcting: points and boxes, undo, following and saving what was corrected."""

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.segzero_console.page.truth import (
    HEIGHT,
    TRACKED,
    WIDTH,
    ask,
    expect,
    iou,
    read_stage,
    true_mask,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.segzero_console.page.console import Console

pytestmark = pytest.mark.slow

READY = "#stage[data-correcting=ready]"
SELECTED = "#corrected button[aria-pressed=true]"


@pytest.fixture
def correcting(page: "Page") -> "Page":
    page.click("#correct")
    page.wait_for_selector(READY)
    return page


def test_two_clicks_and_one_outside_draw_the_object(page: "Page"):
    while not _is_whole(_truth(page, "blue", "cone")):
        page.wait_for_timeout(100)
    page.click("#correct")
    page.wait_for_selector(READY)
    truth = _truth(page, "blue", "cone")
    first, second = _inside(truth)
    _click(page, first)
    expect(page.locator(SELECTED)).to_contain_text("1 point")
    _click(page, second)
    expect(page.locator(SELECTED)).to_contain_text("2 points")
    _click(page, _outside(truth), shift=True)
    expect(page.locator(SELECTED)).to_contain_text("3 points")
    assert iou(_mask(page), truth) >= 0.8


def test_a_box_draws_the_object(correcting: "Page"):
    truth = _truth(correcting, "orange", "mug")
    _drag(correcting, truth)
    assert iou(_mask(correcting), truth) >= 0.8


def test_several_objects_are_drawn_side_by_side(correcting: "Page"):
    mug, ball = _truth(correcting, "orange", "mug"), _truth(correcting, "red", "ball")
    _drag(correcting, mug)
    _drag(correcting, ball, objects=2)
    assert iou(_mask(correcting), mug | ball) >= 0.8


def test_undo_takes_back_one_step_after_the_other(correcting: "Page"):
    truth = _truth(correcting, "red", "ball")
    _drag(correcting, truth)
    correcting.click("#delete-object")
    expect(correcting.locator("#corrected li")).to_have_count(0)
    correcting.click("#undo")
    expect(correcting.locator("#corrected li")).to_have_count(1)
    assert iou(_mask(correcting), truth) >= 0.8
    correcting.click("#undo")
    expect(correcting.locator("#undo")).to_be_disabled()
    assert not _mask(correcting).any()


def test_a_wrong_object_is_replaced_and_the_right_one_followed(page: "Page"):
    ask(page, "the orange mug")
    # In one go: on a slow host, the masks may be gone before the next command of this test.
    read_stage(page, f"{TRACKED} && (correct.click(), true)")
    page.wait_for_selector(READY)
    page.click("#nothing-there")
    expect(page.locator("#corrected li")).to_have_count(0)
    _drag(page, _truth(page, "red", "ball"))
    before = read_stage(page)["stamp"]
    page.click("#follow-corrected")
    seen = read_stage(page, f"BigInt(stage.dataset.maskStamp || 0) > {before}n")
    assert iou(seen["mask"], true_mask(seen["index"], "red", "ball")) >= 0.8
    expect(page.locator("#objects li")).to_have_count(1)


def test_a_correction_becomes_a_row(correcting: "Page", console: "Console"):
    truth = _truth(correcting, "red", "ball")
    _drag(correcting, truth)
    correcting.fill("#row-question", "the ball that is red")
    correcting.click("#save-row")
    correcting.wait_for_function("() => saved.textContent !== ''")
    row = _rows(console)[-1]
    assert row["text"] == "the ball that is red"
    saved = cv2.imread(str(console.rows / row["mask"]), cv2.IMREAD_UNCHANGED)
    assert iou(np.asarray(saved) > 0, truth) >= 0.8


def test_nothing_there_becomes_a_row_too(correcting: "Page", console: "Console"):
    correcting.fill("#row-question", "the green box")
    correcting.click("#save-row")
    correcting.wait_for_function("() => saved.textContent !== ''")
    assert _rows(console)[-1] | {"id": "", "image": ""} == {
        "id": "",
        "image": "",
        "text": "the green box",
        "ids": [],
    }


def test_a_row_without_a_question_is_not_saved(correcting: "Page"):
    correcting.click("#save-row")
    expect(correcting.locator("#notices .warn").last).to_contain_text("question")
    expect(correcting.locator("#row-question")).to_be_focused()


def test_the_keyboard_alone_corrects(page: "Page"):
    page.focus("#stage")
    page.keyboard.press("c")
    page.wait_for_selector(READY)
    truth = _truth(page, "red", "ball")
    (x, y), _ = _inside(truth)
    step = WIDTH // 40
    for key, count in (("ArrowRight", (x - WIDTH / 2) / step), ("ArrowDown", (y - 240) / step)):
        opposite = {"ArrowRight": "ArrowLeft", "ArrowDown": "ArrowUp"}[key]
        for _ in range(round(abs(count))):
            page.keyboard.press(key if count > 0 else opposite)
    page.keyboard.press("Enter")
    expect(page.locator(SELECTED)).to_contain_text("1 point")
    assert (_mask(page) & truth).sum() > 0
    page.keyboard.press("u")
    expect(page.locator("#corrected li")).to_have_count(0)
    assert not _mask(page).any()
    page.keyboard.press("Escape")
    expect(page.locator("#correction")).to_be_hidden()


def _truth(page: "Page", colour: str, shape: str) -> NDArray[np.bool_]:
    return true_mask(read_stage(page)["index"], colour, shape)


def _is_whole(truth: NDArray[np.bool_]) -> bool:
    """Whether the object stays away from the picture's edge, in the next frames too."""
    inner = truth[25:-25, 25:-25]
    return bool(inner.sum() == truth.sum())


def _mask(page: "Page") -> NDArray[np.bool_]:
    page.wait_for_selector(READY)
    return read_stage(page)["mask"]


def _inside(truth: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The two places above and below the middle that are farthest from the edge."""
    depth = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
    middle = int(np.argwhere(truth)[:, 0].mean())
    halves = (np.where(np.arange(len(truth))[:, None] < middle, depth, 0), depth[middle:])
    (x1, y1), (x2, y2) = (_deepest(half) for half in halves)
    return [(x1, y1), (x2, y2 + middle)]


def _deepest(depth: NDArray) -> tuple[int, int]:
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y)


def _outside(truth: NDArray[np.bool_]) -> tuple[int, int]:
    """A place left of the object."""
    places = np.argwhere(truth)
    return max(2, int(places[:, 1].min()) - 15), int(places[:, 0].mean())


def _at(page: "Page", place: tuple[float, float]) -> tuple[float, float]:
    box = page.locator("#stage").bounding_box()
    assert box
    return (
        box["x"] + box["width"] * (place[0] + 0.5) / WIDTH,
        box["y"] + box["height"] * (place[1] + 0.5) / HEIGHT,
    )


def _click(page: "Page", place: tuple[int, int], shift: bool = False) -> None:
    if shift:
        page.keyboard.down("Shift")
    page.mouse.click(*_at(page, place))
    page.keyboard.up("Shift")


def _drag(page: "Page", truth: NDArray[np.bool_], objects: int = 1) -> None:
    """Draw a box around an object; then the correction has so many."""
    places = np.argwhere(truth)
    (y1, x1), (y2, x2) = places.min(axis=0), places.max(axis=0)
    page.mouse.move(*_at(page, (x1, y1)))
    page.mouse.down()
    page.mouse.move(*_at(page, (x2, y2)), steps=3)
    page.mouse.up()
    expect(page.locator("#corrected li")).to_have_count(objects)
    page.wait_for_selector(READY)


def _rows(console: "Console") -> list[dict]:
    lines = (console.rows / "questions.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
