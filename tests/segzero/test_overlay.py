import numpy as np
import pytest

from segzero import overlay
from segzero.types import Box, Point, Segmentation, SegmentedObject

WIDTH, HEIGHT = 320, 240


def result(*masks: np.ndarray, question: str = "the red ball") -> Segmentation:
    objects = tuple(
        SegmentedObject(number, Box(60, 60, 120, 120), (Point(90, 90),), mask, 0.9)
        for number, mask in enumerate(masks, 1)
    )
    return Segmentation(question, "", "", (WIDTH, HEIGHT), objects)


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
        expected = 0.55 * 100 + 0.45 * np.array(overlay.colour(number))
        assert np.abs(picture[65, left + 30] - expected).max() <= 1
    assert (picture[200, 200] == 100).all()


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
