import numpy as np
import pytest

from segzero_sim.questions import SeenObject, look, mirror, questions, sample_question
from segzero_sim.scene import COLOURS, SHAPES
from segzero_sim.tabletop import TabletopRenderer, draw_usable


def seen(number: int, name: str, half: float = 0.05, x: float = 0.5, y: float = 0.5) -> SeenObject:
    colour, shape = name.split()
    box = (x - 0.05, y - 0.05, x + 0.05, y + 0.05)
    return SeenObject(number, shape, colour, half, box, point=(x, y))


def answers(*objects: SeenObject) -> dict[str, tuple[int, ...]]:
    return {question.text: question.ids for question in questions(objects)}


def categories(*objects: SeenObject) -> dict[str, int]:
    return {question.text: question.category for question in questions(objects)}


def test_a_name_is_asked_only_if_one_object_bears_it() -> None:
    found = answers(seen(1, "red ball"), seen(2, "red box", x=0.9), seen(3, "blue box", x=0.1))
    assert found["the red ball"] == (1,)
    assert found["the ball"] == (1,)
    assert found["the blue thing"] == (3,)
    assert "the box" not in found
    assert "the red thing" not in found


def test_sizes_are_compared_only_if_they_differ_clearly() -> None:
    clear = answers(seen(1, "red ball", half=0.05), seen(2, "blue box", half=0.08))
    assert clear["the largest thing"] == (2,)
    assert clear["the smallest thing"] == (1,)
    close = answers(seen(1, "red ball", half=0.05), seen(2, "blue box", half=0.055))
    assert "the largest thing" not in close


def test_a_comparison_may_be_among_one_kind() -> None:
    found = answers(
        seen(1, "red box", half=0.05, x=0.2),
        seen(2, "blue box", half=0.07, x=0.5),
        seen(3, "red ball", half=0.09, x=0.8),
    )
    assert found["the largest box"] == (2,)
    assert found["the largest red thing"] == (3,)
    assert found["the leftmost box"] == (1,)
    assert found["the rightmost red thing"] == (3,)


def test_relations_hold_for_exactly_one_object() -> None:
    found = answers(
        seen(1, "red box", x=0.2), seen(2, "blue cylinder", x=0.5), seen(3, "red ball", x=0.8)
    )
    assert found["the thing left of the blue cylinder"] == (1,)
    assert found["the thing right of the blue cylinder"] == (3,)
    assert "the thing right of the red box" not in found


def test_the_nearer_object_stands_lower_in_the_picture() -> None:
    found = answers(seen(1, "red box", y=0.3), seen(2, "blue ball", y=0.7))
    assert found["the thing closest to the camera"] == (2,)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("what would roll away if the table tipped?", "red ball"),
        ("where is something I could drink from?", "green mug"),
        ("what has a sharp tip?", "blue cone"),
        ("what has the colour of grass?", "green mug"),
    ],
)
def test_reasoning_questions_mean_the_object_that_serves(text: str, name: str) -> None:
    objects = (seen(1, "red ball"), seen(2, "green mug"), seen(3, "blue cone"))
    (expected,) = [item.id for item in objects if item.name == name]
    assert answers(*objects)[text] == (expected,)
    assert categories(*objects)[text] == 3


def test_the_odd_one_out_differs_where_all_others_agree() -> None:
    found = answers(seen(1, "red ball"), seen(2, "blue ball"), seen(3, "green box"))
    assert found["the odd one out"] == (3,)


def test_nothing_is_odd_if_two_objects_could_be() -> None:
    objects = (seen(1, "red ball"), seen(2, "red ball"), seen(3, "red box"), seen(4, "blue ball"))
    assert "the odd one out" not in answers(*objects)


def test_several_objects_are_named_by_what_they_share() -> None:
    objects = (seen(1, "green ball"), seen(2, "green box"), seen(3, "red box"), seen(4, "red cone"))
    found = answers(*objects)
    assert found["everything green"] == (1, 2)
    assert found["all boxes"] == (2, 3)
    assert found["everything that is not a box"] == (1, 4)
    assert categories(*objects)["all boxes"] == 4


def test_what_is_not_there_has_no_ids() -> None:
    objects = (seen(1, "green ball"), seen(2, "red box"))
    found = answers(*objects)
    assert found["the red ball"] == ()
    assert found["everything blue"] == ()
    assert categories(*objects)["the red ball"] == 5


def test_no_question_has_two_answers(renderer: TabletopRenderer) -> None:
    for seed in range(20):
        scene, frame = draw_usable(renderer, seed, depth=False)
        asked = [question.text for question in questions(look(scene, frame.ids))]
        assert len(asked) == len(set(asked))


def test_a_look_finds_boxes_and_points_on_the_objects(renderer: TabletopRenderer) -> None:
    scene, frame = draw_usable(renderer, 5, depth=False)
    height, width = frame.ids.shape
    for item, true in zip(look(scene, frame.ids), scene.objects, strict=True):
        rows, columns = np.nonzero(frame.ids == item.id)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.allclose(np.multiply(item.box, (width, height, width, height)), box)
        x, y = int(item.point[0] * width), int(item.point[1] * height)
        assert frame.ids[y, x] == item.id
        assert (item.shape, item.colour) == (true.shape, true.colour)


def test_mirroring_twice_changes_nothing() -> None:
    item = seen(1, "red ball", x=0.3)
    assert mirror(item).centre[0] == pytest.approx(0.7)
    assert mirror(mirror(item)).box == pytest.approx(item.box)


@pytest.mark.parametrize("category", [1, 5])
def test_a_sampled_question_is_of_its_category_and_repeatable(category: int) -> None:
    objects = [seen(1, f"{next(iter(COLOURS))} {SHAPES[0]}")]
    first = sample_question(objects, category, np.random.default_rng(1))
    assert first is not None
    assert first.category == category
    assert first == sample_question(objects, category, np.random.default_rng(1))


def test_a_category_that_the_objects_do_not_allow_gives_none() -> None:
    assert sample_question([seen(1, "red ball")], 4, np.random.default_rng(0)) is None
