"""Tiny checkpoints on disk, built once for each test run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.segzero import tiny_checkpoints
from tests.segzero.profile_files import write_profile


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # tiny models are slower on more


@pytest.fixture(scope="session")
def image() -> NDArray[np.uint8]:
    """(120, 160, 3) RGB noise: every pixel and every axis counts."""
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3-VL that answers with ANSWER_SCRIPT."""
    folder = tmp_path_factory.mktemp("qwen3_vl")
    return tiny_checkpoints.save_qwen3_vl(folder, tiny_checkpoints.ANSWER_SCRIPT)


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2.5-VL that answers with ANSWER_SCRIPT."""
    folder = tmp_path_factory.mktemp("qwen2_5_vl")
    return tiny_checkpoints.save_qwen2_5_vl(folder, tiny_checkpoints.ANSWER_SCRIPT)


@pytest.fixture(scope="session")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM2 video checkpoint with random weights, for 256 px."""
    return tiny_checkpoints.save_sam2(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory, qwen3_vl: Path, sam2: Path) -> Path:
    """A profile of the tiny Qwen3-VL and the tiny SAM2."""
    path = tmp_path_factory.mktemp("profile") / "tiny.yaml"
    return write_profile(path, qwen3_vl, sam2, image_size=224, max_new_tokens=64)
