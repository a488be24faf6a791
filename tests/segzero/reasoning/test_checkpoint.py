"""What a reasoner's options say before its weights are read."""

import importlib.machinery
import logging
from pathlib import Path

import pytest
import torch

from segzero.errors import CheckpointError
from segzero.reasoning import checkpoint, local
from segzero.reasoning.local import LocalReasoner
from tests.segzero import tiny_checkpoints

FLASH = "flash_attention_2"
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "dtype"), [(CPU, "bfloat16"), (CPU, "float32"), (GPU, "float32")]
)
def test_flash_attention_is_refused_where_it_cannot_compute(
    device: torch.device, dtype: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"on a GPU in bfloat16 .* set attention to sdpa"):
        checkpoint.load_checkpoint(tmp_path, dtype=dtype, attention=FLASH, device=device)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_flash_attention_is_refused_before_weights_are_read_if_it_is_not_installed(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="flash-attn, which isn't installed: install it, or"):
        checkpoint.load_checkpoint(tmp_path, dtype=dtype, attention=FLASH, device=GPU)


def test_flash_attention_goes_on_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.machinery.ModuleSpec("flash_attn", None)
    monkeypatch.setattr(checkpoint, "find_spec", lambda name: installed)
    with pytest.raises(CheckpointError, match="can't load"):  # the folder is empty
        checkpoint.load_checkpoint(tmp_path, dtype="bfloat16", attention=FLASH, device=GPU)


@pytest.mark.parametrize(
    ("weights", "native", "warned"),
    [("int4", False, True), ("int4", True, False), ("full", False, False)],
)
def test_four_bits_are_warned_of_on_a_processor_without_bfloat16(
    weights: str,
    native: bool,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(local, "computes_bfloat16", lambda device: native)
    folder = tiny_checkpoints.save_qwen3_vl(tmp_path)
    with caplog.at_level(logging.WARNING, logger=local.__name__):
        LocalReasoner.load(
            folder,
            prompt="vision_reasoner",
            image_size=64,
            max_new_tokens=4,
            dtype="float32",
            attention="sdpa",
            device=CPU,
            decoding_weights=weights,
        )
    messages = [record.message for record in caplog.records if "int4" in record.message]
    assert len(messages) == int(warned)
    assert all("set it to full" in message for message in messages)
