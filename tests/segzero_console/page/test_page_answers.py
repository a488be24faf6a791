"""Asking: about the live picture, a paused one, one's own; goals, cancel, history."""

from typing import TYPE_CHECKING

import cv2
import pytest

from tests.segzero_console.page.truth import (
    TRACKED,
    ask,
    expect,
    iou,
    read_stage,
    render,
    true_mask,
)

pytestmark = pytest.mark.slow

ANSWERED = "stage.dataset.state === 'answered'"

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


def test_a_stopped_goal_takes_its_mask_along(page: "Page"):
    ask(page, "the blue cone", "tip")
    page.wait_for_selector("#stage[data-state=tracked]")
    page.click(".goal[data-goal=tip] button")
    assert not read_stage(page, "stage.dataset.maskStamp === ''")["mask"].any()
    expect(page.locator("#goals li")).to_have_count(0)


def test_goals_live_side_by_side_each_in_its_colour(page: "Page"):
    for goal, question in (("toy", "the red ball"), ("cup", "the orange mug")):
        ask(page, question, goal)
    both_seen = "document.querySelectorAll('#objects .object:not(.lost)').length === 2"
    seen = read_stage(page, f"{TRACKED} && {both_seen}")
    colours = page.locator("#goals .swatch").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    assert len(set(colours)) == 2
    both = true_mask(seen["index"], "red", "ball") | true_mask(seen["index"], "orange", "mug")
    assert iou(seen["mask"], both) >= 0.8


def test_a_question_can_be_cancelled_while_it_thinks(page: "Page"):
    # In one go: on a slow host, the answer may come before the next command of this test.
    page.evaluate("() => { question.value = 'the orange mug'; send.click(); cancel.click(); }")
    expect(page.locator(".card[data-state=failed] .answer")).to_contain_text("cancelled")
    expect(page.locator("#cancel")).to_be_hidden()


def test_a_paused_picture_is_asked_about_as_it_is(page: "Page"):
    page.click("#pause")
    expect(page.locator("#kept")).to_be_visible()
    page.uncheck("#follow")
    stamp = read_stage(page)["stamp"]
    ask(page, "the red ball")
    seen = read_stage(page, ANSWERED)
    assert seen["stamp"] == seen["maskStamp"] == stamp
    assert iou(seen["mask"], true_mask(seen["index"], "red", "ball")) >= 0.8


def test_ones_own_picture_is_asked_about(page: "Page", tmp_path: "Path"):
    frame = render(3)
    file = tmp_path / "mine.png"
    cv2.imwrite(str(file), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    page.set_input_files("#file", file)
    expect(page.locator("#picture-name")).to_have_text("mine.png")
    ask(page, "the blue cone")
    assert iou(read_stage(page, ANSWERED)["mask"], true_mask(3, "blue", "cone")) >= 0.8
    page.click("#pause")
    page.wait_for_selector("#stage[data-mask-stamp='']")


def test_questions_are_suggested_again_in_the_next_visit(page: "Page"):
    ask(page, "the blue cone")
    page.wait_for_selector(".card:not(.open)")
    page.reload()
    page.wait_for_selector("#goals li")
    expect(page.locator(".example").first).to_have_text("the blue cone")
    expect(page.locator("#questions option").first).to_have_attribute("value", "the blue cone")
