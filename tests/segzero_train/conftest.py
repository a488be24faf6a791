from collections.abc import Iterator
from pathlib import Path

import pytest

from segzero_train.demo import frames as frames_module
from segzero_train.demo.frames import Frames, render_frames


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    """Two small shards of really rendered scenes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "SHARD", 12)
        yield render_frames(tmp_path_factory.mktemp("frames"), 24, processes=1)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
