"""Which of SAM 2's hypotheses is an object's mask."""

import numpy as np
import pytest

from segzero.segmentation.segmenter import best_hypotheses
from segzero.types import Box, GroundedObject, ObjectPrompt, Point

SHAPE = (240, 320)
NEAR, FAR, BOTH = 0, 1, 2
"""The hypotheses: at the prompt; elsewhere, with the best score; at both places."""
MASKS = np.zeros((1, 3, 60, 80), bool)
MASKS[0, [NEAR, BOTH], 48:55, 76:] = True  # (304, 192) to (320, 220) of the image
MASKS[0, [FAR, BOTH], 48:, :15] = True


def best(prompt: GroundedObject | ObjectPrompt, scores: tuple[float, float, float]) -> int:
    (number,) = best_hypotheses(np.array([scores], np.float32), MASKS, [prompt], SHAPE)
    return int(number)


AT_THE_EDGE = Box(302, 189, 320, 228)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(GroundedObject(AT_THE_EDGE, (Point(311, 200),)), id="box and point"),
        pytest.param(GroundedObject(AT_THE_EDGE, ()), id="box"),
        pytest.param(GroundedObject(Box(319.2, 200, 320, 201), ()), id="smaller than a pixel"),
        pytest.param(ObjectPrompt(points=(Point(311, 200),)), id="point"),
        pytest.param(ObjectPrompt(points=(Point(308, 196), Point(318, 218))), id="several points"),
    ],
)
def test_a_mask_elsewhere_is_passed_over_whatever_its_score(prompt) -> None:
    assert best(prompt, (0.1, 0.9, 0.05)) == NEAR


def test_of_those_at_the_prompt_the_best_scored_counts() -> None:
    assert best(GroundedObject(AT_THE_EDGE, ()), (0.3, 0.9, 0.6)) == BOTH


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(GroundedObject(Box(150, 20, 160, 30), ()), id="nothing in the box"),
        pytest.param(ObjectPrompt(negative_points=(Point(150, 30),)), id="negative points alone"),
    ],
)
def test_without_any_at_the_prompt_the_best_scored_counts(prompt) -> None:
    assert best(prompt, (0.1, 0.9, 0.05)) == FAR


def test_each_object_has_its_own() -> None:
    prompts = [GroundedObject(AT_THE_EDGE, ()), GroundedObject(Box(0, 190, 60, 240), ())]
    scores = np.array([[0.1, 0.9, 0.05]] * 2, np.float32)
    found = best_hypotheses(scores, np.repeat(MASKS, 2, axis=0), prompts, SHAPE)
    assert found.tolist() == [NEAR, FAR]
