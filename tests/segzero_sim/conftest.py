from collections.abc import Iterator

import pytest

from segzero_sim.tabletop import TabletopRenderer


@pytest.fixture(scope="session")
def renderer() -> Iterator[TabletopRenderer]:
    with TabletopRenderer(320, 240) as renderer:
        yield renderer
