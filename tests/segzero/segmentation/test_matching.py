"""Objects are recognised by their masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzero.segmentation.matching import match_masks


def block(left: int, width: int = 4, size: int = 16) -> np.ndarray:
    mask = np.zeros((8, size), bool)
    mask[2:6, left : left + width] = True
    return mask


@pytest.mark.parametrize(
    ("found", "known", "matches"),
    [
        pytest.param([block(0), block(8)], [block(8), block(0)], [1, 0], id="swapped"),
        pytest.param([block(1)], [block(0)], [0], id="moved a little"),
        pytest.param([block(3)], [block(0)], [None], id="moved away"),
        pytest.param([block(0), block(1)], [block(0)], [0, None], id="each once"),
        pytest.param([block(0)], [], [None], id="none known"),
        pytest.param([], [block(0)], [], id="none found"),
        pytest.param([block(0)], [block(0, size=32)], [None], id="another size"),
        pytest.param([np.zeros((8, 16), bool)], [np.zeros((8, 16), bool)], [None], id="empty"),
    ],
)
def test_masks_are_matched_by_iou(found, known, matches) -> None:
    assert match_masks(found, known) == matches


@given(st.permutations(range(4)))
def test_the_same_masks_in_any_order_are_all_found_again(order: list[int]) -> None:
    known = [block(4 * place) for place in range(4)]
    assert match_masks([known[place] for place in order], known) == order
