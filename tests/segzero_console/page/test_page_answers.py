"""Asking: about the live picture, a paused one, one's own; goals, cancel, history."""

from typing import TYPE_CHECKING

import cv2

from tests.segzero_console.page.truth import ask, iou, read_stage, render, true_mask

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


def test_a_stopped_goal_takes_its_mask_along(page: "Page"):
    ask(page, "the blue cone", "tip")
    page.wait_for_selector("#stage[data-state=tracked]")
    page.click(".goal[data-goal=tip] button")
    page.wait_for_selector("#stage[data-mask-stamp='']")
    assert not read_stage(page)["mask"].any()
    assert page.locator("#goals li").count() == 0


def test_goals_live_side_by_side_each_in_its_colour(page: "Page"):
    for goal, question in (("toy", "the red ball"), ("cup", "the orange mug")):
        ask(page, question, goal)
    page.wait_for_function(
        "() => document.querySelectorAll('#objects .object:not(.lost)').length === 2"
    )
    colours = page.locator("#goals .swatch").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    assert len(set(colours)) == 2
    page.wait_for_selector("#stage[data-state=tracked]")
    seen = read_stage(page)
    both = true_mask(seen["index"], "red", "ball") | true_mask(seen["index"], "orange", "mug")
    assert iou(seen["mask"], both) >= 0.8


def test_a_question_can_be_cancelled_while_it_thinks(page: "Page"):
    ask(page, "the orange mug")
    page.click("#cancel")
    page.wait_for_selector(".card[data-state=failed]")
    assert "cancelled" in (page.locator(".card .answer").text_content() or "")
    assert not page.locator("#cancel").is_visible()


def test_a_paused_picture_is_asked_about_as_it_is(page: "Page"):
    page.click("#pause")
    page.uncheck("#follow")
    stamp = read_stage(page)["stamp"]
    ask(page, "the red ball")
    page.wait_for_selector("#stage[data-state=answered]")
    seen = read_stage(page)
    assert seen["stamp"] == seen["maskStamp"] == stamp
    assert iou(seen["mask"], true_mask(seen["index"], "red", "ball")) >= 0.8


def test_ones_own_picture_is_asked_about(page: "Page", tmp_path: "Path"):
    frame = render(3)
    file = tmp_path / "mine.png"
    cv2.imwrite(str(file), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    page.set_input_files("#file", file)
    ask(page, "the blue cone")
    page.wait_for_selector("#stage[data-state=answered]")
    assert iou(read_stage(page)["mask"], true_mask(3, "blue", "cone")) >= 0.8
    page.click("#pause")
    page.wait_for_selector("#stage[data-mask-stamp='']")


def test_questions_are_suggested_again_in_the_next_visit(page: "Page"):
    ask(page, "the blue cone")
    page.wait_for_selector(".card:not(.open)")
    page.reload()
    page.wait_for_selector("#goals li")
    assert page.locator(".example").first.text_content() == "the blue cone"
    assert page.locator("#questions option").first.get_attribute("value") == "the blue cone"
