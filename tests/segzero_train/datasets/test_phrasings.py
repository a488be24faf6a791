"""The split of questions in people's words: true answers, and nothing of it in the training."""

import pytest

from segzero_sim.phrasings import PHRASINGS
from segzero_sim.questions import SeenObject, questions
from segzero_sim.scene import COLOURS, SHAPES
from segzero_train.datasets import tabletop


def simulators_texts() -> set[str]:
    """What the simulator asks about one to five objects, over all shapes and colours."""
    texts: set[str] = set()
    for shape in SHAPES:
        for colour in COLOURS:
            near = SeenObject(1, shape, colour, 0.05, (0.1, 0.1, 0.2, 0.2), (0.15, 0.15))
            same = SeenObject(2, shape, colour, 0.08, (0.7, 0.7, 0.9, 0.9), (0.8, 0.8))
            other = SeenObject(3, "ball", "red", 0.06, (0.4, 0.4, 0.5, 0.5), (0.45, 0.45))
            cube = SeenObject(4, "box", "blue", 0.03, (0.3, 0.3, 0.35, 0.35), (0.32, 0.32))
            ball = SeenObject(5, "ball", "green", 0.04, (0.5, 0.6, 0.55, 0.65), (0.52, 0.62))
            many = [near, same, other, cube, ball]
            for seen in ([near], [near, same], [near, other], many[:4], many):
                texts |= {question.text for question in questions(seen)}
            tint = "green" if colour == "red" else "red"
            odd = SeenObject(2, shape, tint, 0.08, (0.4, 0.4, 0.5, 0.5), (0.45, 0.45))
            texts |= {question.text for question in questions([near, same, odd])}
    return texts


def test_each_stands_for_a_question_of_the_simulator_in_other_words() -> None:
    known = simulators_texts()
    assert len({typed for _, typed in PHRASINGS}) == len(PHRASINGS) == 100
    assert {asked for asked, _ in PHRASINGS} <= known
    assert not {typed for _, typed in PHRASINGS} & known


def test_samples_have_the_words_of_the_person_and_the_truth_of_the_simulator() -> None:
    absent, red, blue = tabletop.samples("phrasings", 3)
    assert (absent.category, absent.objects, absent.masks) == ("5", (), ())
    assert [red.question, blue.question] == ["a red sphere", "ball, blue"]
    for sample, channel in ((red, 0), (blue, 2)):
        (mask,) = sample.masks
        assert sample.image[mask].mean(0).argmax() == channel


@pytest.mark.parametrize("size", [0, 101, 1000])
def test_there_are_a_hundred(size: int) -> None:
    with pytest.raises(ValueError, match="the split phrasings has 1 to 100 samples"):
        next(tabletop.samples("phrasings", size))
