from collections.abc import Iterator
from pathlib import Path

import pytest

from segzero_train.demo import frames as frames_module
from segzero_train.demo.frames import Frames, render_frames
from tests.segzero_train import tiny_runs


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)  # small models are slower on more, and equal bit for bit on one


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    """Two small shards of really rendered scenes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "SHARD", 12)
        yield render_frames(tmp_path_factory.mktemp("frames"), 24, processes=1)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of rendered tabletops: 8 rows `train`, 4 rows `val`."""
    return tiny_runs.write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of a tiny Qwen2.5-VL."""
    return tiny_runs.write_profile(tmp_path_factory.mktemp("qwen2_5_vl"), "qwen2_5_vl")


@pytest.fixture(scope="session")
def qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of a tiny Qwen3-VL."""
    return tiny_runs.write_profile(tmp_path_factory.mktemp("qwen3_vl"), "qwen3_vl")


@pytest.fixture(scope="session")
def noisy_qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of a tiny Qwen3-VL all of whose weights have gradients."""
    profile = tiny_runs.write_profile(tmp_path_factory.mktemp("noisy_qwen3_vl"), "qwen3_vl")
    return tiny_runs.add_noise(profile, 0.01)


@pytest.fixture(scope="session")
def demo_run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of the demo model by the command, everything written that can be."""
    from segzero_train import grpo

    run = tmp_path_factory.mktemp("demo") / "run"
    watched = {"held_out_size": 4, "held_out_every": 1, "held_out_batch": 3, "samples_every": 1}
    saved = {"save_strategy": "steps", "save_steps": 1, "report_to": "tensorboard"}
    words = tiny_runs.words("demo", table, run, max_steps=2, freeze_vision=True, **watched, **saved)
    assert grpo.main(words) == 0
    return run
