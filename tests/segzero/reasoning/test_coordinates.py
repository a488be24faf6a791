import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzero.errors import MalformedAnswer
from segzero.reasoning.coordinates import (
    CONVENTIONS,
    ROUNDINGS,
    Coordinates,
    Rounding,
    to_image,
    to_model,
)
from segzero.types import Answer, Box, GroundedObject, Point


def answer(box: Box, *points: Point) -> Answer:
    return Answer("", (GroundedObject(box, points),), "the completion")


def moved(
    item: Answer,
    convention: Coordinates,
    model: tuple[int, int],
    image: tuple[int, int],
    rounding: Rounding,
) -> GroundedObject:
    return to_image(item, convention, model, image, rounding).objects[0]


def test_absolute_pixels_scale_x_and_y_apart_by_the_model_size():
    item = moved(
        answer(Box(84, 84, 420, 840), Point(420, 210)),
        *("absolute_pixels", (840, 420), (1680, 210), "half_up"),
    )
    assert item == GroundedObject(Box(168, 42, 840, 210), (Point(840, 105),))


def test_relative_thousandths_do_not_depend_on_the_model_size():
    source = answer(Box(100, 200, 500, 1000), Point(300, 600))
    small = moved(source, "relative_1000", (224, 224), (640, 480), "half_up")
    large = moved(source, "relative_1000", (832, 832), (640, 480), "half_up")
    assert small == large == GroundedObject(Box(64, 96, 320, 480), (Point(192, 288),))


@pytest.mark.parametrize(
    ("rounding", "value", "expected"),
    [("round", 2.9, 1), ("half_up", 2.9, 1), ("round", 5, 2), ("half_up", 5, 3), ("round", 3.9, 2)],
)
def test_the_two_rounding_rules_of_the_authors(rounding, value, expected):
    # half the size: round() goes to even and cuts the input to an integer first
    item = moved(
        answer(Box(0, 0, 100, 100), Point(value, 0)),
        *("absolute_pixels", (100, 100), (50, 50), rounding),
    )
    assert item.points[0].x == expected


def test_boxes_are_clipped_to_the_edges_and_points_to_the_pixels():
    item = moved(
        answer(Box(-5, 10, 2000, 900), Point(-3, 1200), Point(5000, 5)),
        *("absolute_pixels", (840, 840), (840, 840), "half_up"),
    )
    assert item == GroundedObject(Box(0, 10, 840, 840), (Point(0, 839), Point(839, 5)))


@pytest.mark.parametrize(
    "box",
    [Box(-9, 10, -1, 20), Box(840, 0, 900, 20), Box(10, 10, 10, 20), Box(10, 900, 20, 990)],
    ids=["left of it", "right of it", "empty", "below"],
)
def test_a_box_without_a_part_in_the_image_is_malformed(box):
    with pytest.raises(MalformedAnswer, match="covers nothing") as caught:
        moved(answer(box, Point(10, 10)), *("absolute_pixels", (840, 840), (840, 840), "half_up"))
    assert caught.value.text == "the completion"


sides = st.integers(28, 2000)


@given(st.data(), sides, sides, st.sampled_from(CONVENTIONS), st.sampled_from(sorted(ROUNDINGS)))
def test_there_and_back_again_is_within_one_step(data, width, height, convention, rounding):
    x1, y1 = data.draw(st.integers(0, width - 12)), data.draw(st.integers(0, height - 12))
    x2, y2 = data.draw(st.integers(x1 + 12, width)), data.draw(st.integers(y1 + 12, height))
    source = answer(Box(x1, y1, x2, y2), Point(x1, y1))
    sizes = (840, 812), (width, height)
    item = moved(to_model(source, convention, *sizes), convention, *sizes, rounding)
    # half a step of the model, seen in the image, and half a pixel of the image
    for before, after in [(x1, item.box.x1), (x2, item.box.x2), (x1, item.points[0].x)]:
        assert abs(before - after) <= 0.5 * width / 812 + 0.5
    for before, after in [(y1, item.box.y1), (y2, item.box.y2), (y1, item.points[0].y)]:
        assert abs(before - after) <= 0.5 * height / 812 + 0.5


def test_the_model_writes_whole_numbers():
    there = to_model(
        answer(Box(1, 1, 100, 50), Point(7, 3)), "relative_1000", (224, 224), (640, 480)
    )
    assert there.objects[0] == GroundedObject(Box(2, 2, 156, 104), (Point(11, 6),))
