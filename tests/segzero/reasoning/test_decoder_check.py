"""Models that transformers computes otherwise than the decoder: a warning, then `generate`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from segzero.reasoning.decoder import Decoder
from segzero.reasoning.decoder_check import relative_difference
from segzero.reasoning.local import LocalReasoner
from tests.segzero.moved_parts import move

pytestmark = pytest.mark.slow


def load(folder: Path, dtype: str = "float32", decoding_weights: str = "full") -> Any:
    """A reasoner whose layers do as much as those of a trained model."""
    reasoner: Any = LocalReasoner.load(
        folder,
        prompt="vision_reasoner",
        image_size=112,
        max_new_tokens=12,
        dtype=dtype,
        attention="sdpa",
        device=torch.device("cpu"),
        decoding_weights=decoding_weights,
    )
    torch.manual_seed(0)
    for weight in reasoner._model.model.language_model.layers.parameters():
        if weight.dim() == 2:
            weight.data.normal_(std=weight.shape[1] ** -0.5)
    return reasoner


class SwappedMLP(nn.Module):
    """Gate and up have changed places."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = mlp.gate_proj, mlp.up_proj, mlp.down_proj

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(functional.silu(self.up_proj(x)) * self.gate_proj(x))


class ShiftedNorm(nn.Module):
    """A norm whose weight is the distance from one, as Gemma's."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = norm.weight, norm.variance_epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, x.shape[-1:], 1 + self.weight, self.variance_epsilon)


class InterleavedRope(nn.Module):
    """Cosines and sines in the order of interleaved pairs."""

    def __init__(self, rope: Any) -> None:
        super().__init__()
        self.rope = rope

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> Any:
        if x.dim() == 4:  # the decoder asks for a whole cache
            return self.rope(x, position_ids)
        return tuple(
            part.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
            for part in self.rope(x, position_ids)
        )


def swap_gate_and_up(text: Any) -> None:
    for layer in text.layers:
        layer.mlp = SwappedMLP(layer.mlp)


def shift_norms(text: Any) -> None:
    for layer in text.layers:
        layer.input_layernorm = ShiftedNorm(layer.input_layernorm)
        layer.post_attention_layernorm = ShiftedNorm(layer.post_attention_layernorm)


def interleave_rope(text: Any) -> None:
    text.rotary_emb = InterleavedRope(text.rotary_emb)


def scale_attention(text: Any) -> None:
    for layer in text.layers:
        layer.self_attn.scaling = 1.0


MOVED = ["layers.0.self_attn", "layers.1.mlp", "layers.0.input_layernorm", "embed_tokens", "norm"]
CHANGED = [swap_gate_and_up, shift_norms, interleave_rope, scale_attention]


def by_generate(reasoner: Any, image: np.ndarray) -> str:
    (completion,) = reasoner.complete_batch([image], ["the red ball"])
    return completion.text


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]


@pytest.mark.parametrize("warm", [True, False], ids=["warmed up", "cold"])
@pytest.mark.parametrize("path", MOVED)
def test_a_part_that_has_moved_is_told_once_and_generate_answers(
    folder: Path, image: np.ndarray, path: str, warm: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reasoner = load(folder)
    move(reasoner._model.model.language_model, path)
    if warm:
        reasoner.warm_up()
    for _ in range(2):
        assert reasoner.complete(image, "the red ball").text == by_generate(reasoner, image)
    (warning,) = warnings(caplog)
    assert "generate" in warning
    assert "AttributeError" in warning


def test_a_language_model_of_another_name_is_told(
    folder: Path, image: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    reasoner = load(folder)
    move(reasoner._model.model, "language_model")
    assert reasoner.complete(image, "the red ball").text == by_generate(reasoner, image)
    (warning,) = warnings(caplog)
    assert "AttributeError" in warning


@pytest.mark.parametrize("decoding_weights", ["full", "int4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", CHANGED)
def test_a_model_that_is_computed_otherwise_is_told_once_and_generate_answers(
    folder: Path,
    image: np.ndarray,
    change: Callable[[Any], None],
    dtype: str,
    decoding_weights: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasoner = load(folder, dtype, decoding_weights)
    change(reasoner._model.model.language_model)
    reasoner.warm_up()
    assert reasoner._decoder is None
    completion = reasoner.complete(image, "the red ball")
    if decoding_weights == "full":
        assert completion.text == by_generate(reasoner, image)
    (warning,) = warnings(caplog)
    assert "differ" in warning


@pytest.mark.parametrize("decoding_weights", ["full", "int4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_as_it_should_be_is_decoded_without_a_word(
    folder: Path, dtype: str, decoding_weights: str, caplog: pytest.LogCaptureFixture
) -> None:
    reasoner = load(folder, dtype, decoding_weights)
    reasoner.warm_up()
    assert isinstance(reasoner._decoder, Decoder)
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("logits", "difference"),
    [([[1.0, -1.0]], 0.0), ([[1.0, -1.0 + 1e-3]], 5e-4), ([[-1.0, 1.0]], 2**0.5)],
)
def test_differences_are_relative_to_the_spread(
    logits: list[list[float]], difference: float
) -> None:
    found = relative_difference(torch.tensor(logits), torch.tensor([[1.0, -1.0]]))
    assert found == pytest.approx(difference, rel=1e-3)
