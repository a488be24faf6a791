"""Which score a followed object needs to count as present."""

import pytest
import torch

from segzero.segmentation.presence import presence_bias


def block(left: int, width: int = 10) -> torch.Tensor:
    """A (1, 16, 40) mask."""
    mask = torch.zeros(1, 16, 40, dtype=torch.bool)
    mask[:, 4:12, left : left + width] = True
    return mask


NOTHING = block(0, 0)


@pytest.mark.parametrize(
    ("was", "before", "shown", "bias"),
    [
        pytest.param(True, None, block(4), 2.0, id="first frame"),
        pytest.param(True, block(4), block(4), 6.0, id="stays"),
        pytest.param(True, block(4), block(5), 6.0, id="moves on"),
        pytest.param(True, block(4), block(20), 2.0, id="jumps"),
        pytest.param(True, block(4), block(4, 5), 2.0, id="shrinks by half"),
        pytest.param(True, block(4), NOTHING, 2.0, id="vanishes"),
        pytest.param(True, NOTHING, NOTHING, 2.0, id="no mask at all"),
        pytest.param(False, block(4), block(4), -2.0, id="was absent"),
        pytest.param(False, None, block(4), -2.0, id="was absent, first frame"),
    ],
)
def test_a_mask_that_goes_on_speaks_for_presence(was, before, shown, bias) -> None:
    assert presence_bias([was], before, shown).tolist() == [[bias]]


def test_each_object_has_its_own() -> None:
    before = torch.cat([block(4), block(4), block(4)])
    shown = torch.cat([block(4), block(25), block(4)])
    assert presence_bias([True, True, False], before, shown).flatten().tolist() == [6.0, 2.0, -2.0]
