from dataclasses import replace

import numpy as np
import pytest

from segzero import overlay
from segzero.types import Box, Point, Segmentation, SegmentedObject

WIDTH, HEIGHT = 320, 240


def result(*masks: np.ndarray, question: str = "the red ball", reasoning: str = "") -> Segmentation:
    objects = tuple(
        SegmentedObject(number, Box(60, 60, 120, 120), (Point(90, 90),), mask, 0.9)
        for number, mask in enumerate(masks, 1)
    )
    return Segmentation(question, reasoning, "", (WIDTH, HEIGHT), objects)


@pytest.fixture
def frame() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 100, np.uint8)


def block(left: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[60:120, left : left + 60] = True
    return mask


def test_the_picture_is_the_frame_with_a_strip_below(frame):
    picture = overlay.draw(frame, result())
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (WIDTH, 3) and picture.shape[0] > HEIGHT
    assert (picture[:HEIGHT] == frame).all()
    assert picture[HEIGHT:].max() > 200  # letters


def test_the_frame_itself_stays_untouched(frame):
    frame.flags.writeable = False
    overlay.draw(frame, result(block(60)))
    assert (frame == 100).all()


def test_each_mask_is_tinted_with_its_objects_colour(frame):
    picture = overlay.draw(frame, result(block(200), block(140)))
    for number, left in ((1, 200), (2, 140)):
        expected = 0.8 * 100 + 0.2 * np.array(overlay.colour(number))
        inside = picture[64:116, left + 24 : left + 56].reshape(-1, 3).astype(float)
        plain = np.median(inside, axis=0)  # most pixels are in no line of the hatch
        assert np.abs(plain - expected).max() <= 1
    assert (picture[200, 200] == 100).all()


@pytest.mark.parametrize("number", [255, 256, 65535])
def test_an_object_of_any_id_is_drawn(frame: np.ndarray, number: int) -> None:
    one = result(block(60))
    high = replace(one, objects=(replace(one.objects[0], id=number),))
    drawn = overlay.draw(frame, high)[64:116, 64:116]
    assert (drawn != 100).any(axis=2).all()


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB, ITU-R BT.709, in [0, 1]."""
    return (rgb / 255.0) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])


SURFACES = [
    (0, 0, 0), (255, 255, 255), (128, 128, 128), (210, 40, 40), (40, 80, 220), (240, 210, 40),
    (60, 170, 60), *(overlay.colour(number) for number in range(1, 7)),
]  # fmt: skip


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("object_id", [1, 2, 3])
def test_a_mask_can_be_told_on_an_object_of_any_colour(surface, object_id):
    frame = np.full((HEIGHT, WIDTH, 3), surface, np.uint8)
    mask = block(200)  # away from box and point, which have colours of their own
    item = SegmentedObject(object_id, Box(10, 10, 20, 20), (Point(15, 15),), mask, 0.9)
    picture = overlay.draw(frame, Segmentation("q", "", "", (WIDTH, HEIGHT), (item,)))
    plain = luminance(np.array(surface))
    around = luminance(picture[50:130, 190:270])
    outline = around[9:12, 30:50]  # the rows of the upper edge
    lines = outline.mean(axis=1)
    assert np.ptp(lines) > 0.9  # a dark line beside a light one
    contrast = (np.maximum(lines, plain) + 0.05) / (np.minimum(lines, plain) + 0.05)
    assert contrast.max() >= 4.5  # as WCAG 2.2 asks of text
    inside = around[14:66, 14:66]
    assert np.percentile(inside, 99) - np.percentile(inside, 1) > 0.15  # hatched
    assert np.mean(np.abs(inside - plain) > 0.02) > 0.15  # a sixth is light, a sixth dark


def test_the_thinking_stands_below_the_question(frame):
    without = overlay.draw(frame, result())
    picture = overlay.draw(frame, result(reasoning="A red ball lies left of the box."))
    assert picture.shape[0] > without.shape[0]
    assert (picture[HEIGHT : HEIGHT + 15] == without[HEIGHT : HEIGHT + 15]).all()


@pytest.mark.parametrize("reasoning", ["wide " * 3000, "x" * 9000, "红色的球 " * 900, "a\nb" * 999])
def test_long_thinking_is_cut(frame, reasoning):
    picture = overlay.draw(frame, result(reasoning=reasoning))
    assert picture.shape[0] < 1.5 * HEIGHT


def test_box_and_points_are_drawn_and_the_rest_is_not(frame):
    empty = np.zeros((HEIGHT, WIDTH), bool)
    picture = overlay.draw(frame, result(empty))
    assert (picture[119, 100] == overlay.colour(1)).all()
    assert (picture[90, 90] == overlay.colour(1)).all()
    assert (picture[90, 105] == 100).all()


def test_colours_of_objects_differ():
    colours = np.array([overlay.colour(number) for number in range(1, 13)], int)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert distances[~np.eye(12, dtype=bool)].min() > 30


@pytest.mark.parametrize(
    "question",
    [
        "grün",
        "红色的球",
        "الكرة الحمراء",
        "🔴 ball",
        "a\nb\tc",
        "\udcff",
        "",
        "x" * 2000,
        "wide " * 400,
    ],
)
def test_any_question_can_be_drawn(frame, question):
    picture = overlay.draw(frame, result(question=question))
    assert picture.shape[1] == WIDTH and HEIGHT < picture.shape[0] < 2 * HEIGHT


def test_without_any_font_of_the_system_pillows_own_serves(frame, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(overlay, "_FONTS", ("no-such-font.ttf",))
        overlay._font.cache_clear()
        picture = overlay.draw(frame, result(question="红色的球 grün"))
    overlay._font.cache_clear()
    assert picture[HEIGHT:].max() > 200


@pytest.mark.parametrize("size", [(8, 8), (16, 700), (700, 16)])
def test_odd_sizes_can_be_drawn(size):
    height, width = size
    item = SegmentedObject(1, Box(0, 0, 1, 1), (Point(0, 0),), np.ones(size, bool), 0.5)
    question = Segmentation("the red ball", "", "", (width, height), (item,))
    picture = overlay.draw(np.zeros((height, width, 3), np.uint8), question)
    assert picture.shape[1] == width and picture.shape[0] > height
