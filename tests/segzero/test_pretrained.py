"""A loaded model is in memory, on its device, finite, and no longer depends on its files."""

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from segzero import pretrained
from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from tests.segzero.tiny_checkpoints import write_shards

pytestmark = pytest.mark.slow

QUESTION = "the red ball"


@pytest.fixture
def copies(profile: Path, qwen3_vl: Path, sam2: Path, tmp_path: Path) -> Path:
    """The tiny profile over copies of its weights: `reasoner` and `segmenter` beside it."""
    shutil.copytree(qwen3_vl, tmp_path / "reasoner")
    shutil.copytree(sam2, tmp_path / "segmenter")
    text = profile.read_text().replace(str(qwen3_vl), "reasoner").replace(str(sam2), "segmenter")
    path = tmp_path / "copies.yaml"
    path.write_text(text)
    return path


def truncate(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(100)


def overwrite(file: Path) -> None:
    """As `cp` does: into the same file."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2)
        opened.write(bytes(size - size // 2))


def put_other_weights(file: Path) -> None:
    tensors = {name: torch.randn_like(tensor) for name, tensor in load_file(file).items()}
    other = file.with_name("other.safetensors")
    save_file(tensors, other, {"format": "pt"})
    with file.open("r+b") as opened:
        opened.write(other.read_bytes())


@pytest.mark.parametrize("damage", [truncate, overwrite, put_other_weights, Path.unlink])
def test_answers_stay_the_same_whatever_becomes_of_the_files(
    copies: Path, image: NDArray[np.uint8], damage: Callable[[Path], None]
) -> None:
    segzero = SegZero.load(copies, "cpu")
    before = segzero.ask(image, QUESTION)
    for name in ("reasoner", "segmenter"):
        damage(copies.with_name(name) / "model.safetensors")
    after = segzero.ask(image, QUESTION)
    assert after.text == before.text
    for then, now in zip(before.objects, after.objects, strict=True):
        assert np.array_equal(then.mask, now.mask)
    segzero.close()


def test_shards_are_read_into_memory_too(copies: Path) -> None:
    folder = copies.with_name("reasoner")
    tensors = load_file(folder / "model.safetensors")
    write_shards(folder, tensors)
    (folder / "model.safetensors").unlink()
    model = load(folder)
    for file in folder.glob("*.safetensors"):
        truncate(file)
    assert torch.equal(model.lm_head.weight, tensors["lm_head.weight"].bfloat16())


def load(folder: Path, device: str = "cpu") -> Any:
    return pretrained.load_model(
        AutoModelForImageTextToText, folder, dtype="bfloat16", device=torch.device(device)
    )


def test_tensors_go_to_another_device_one_by_one(
    qwen3_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[weakref.ref[torch.Tensor]] = []
    alive = []
    original = pretrained._Unread.__getitem__

    def watched(self: Any, part: Any) -> torch.Tensor:
        tensor = original(self, part)
        read.append(weakref.ref(tensor))
        alive.append(sum(one() is not None for one in read))
        return tensor

    monkeypatch.setattr(pretrained._Unread, "__getitem__", watched)
    # The device without memory stands for a GPU; it has no values to look at.
    monkeypatch.setattr(pretrained, "require_finite", lambda *_: None)
    model = load(qwen3_vl, "meta")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert len(read) > 40
    assert max(alive) <= 8, "a thread pool of four reads them"


def change(
    copies: Path, name: str, tensor: str, values: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    file = copies.with_name(name) / "model.safetensors"
    tensors = load_file(file)
    values(tensors[tensor].view(-1))
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("name", "tensor", "value"),
    [
        ("reasoner", "model.language_model.layers.1.mlp.down_proj.weight", float("nan")),
        ("reasoner", "model.visual.blocks.0.attn.qkv.weight", float("inf")),
        ("reasoner", "model.language_model.embed_tokens.weight", -float("inf")),
        ("segmenter", "mask_decoder.iou_prediction_head.proj_out.bias", float("nan")),
        ("segmenter", "memory_attention.layers.0.linear1.weight", float("inf")),
    ],
)
def test_a_single_value_that_is_no_number_is_refused_by_name(
    copies: Path, name: str, tensor: str, value: float
) -> None:
    change(copies, name, tensor, lambda values: values[-1:].fill_(value))
    with pytest.raises(CheckpointError, match=f"aren't all finite \\({tensor} holds") as error:
        SegZero.load(copies, "cpu")
    assert str(copies.with_name(name)) in str(error.value)


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("reasoner", "lm_head.weight", "the reasoner computes NaN or infinity .* reasoner_dtype"),
        (
            "reasoner",
            "model.visual.merger.linear_fc2.weight",
            "the reasoner computes NaN or infinity",
        ),
        (
            "segmenter",
            "vision_encoder.backbone.patch_embed.projection.weight",
            "the segmenter computes NaN or infinity: set segmenter_dtype",
        ),
    ],
)
def test_weights_with_which_the_results_are_no_numbers_are_refused_at_the_warm_up(
    copies: Path, name: str, tensor: str, says: str
) -> None:
    change(copies, name, tensor, lambda values: values.fill_(3e38))
    segzero = SegZero.load(copies, "cpu")
    with pytest.raises(CheckpointError, match=says):
        segzero.warm_up()
    segzero.close()
