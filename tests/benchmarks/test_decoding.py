"""The benchmark of decoding: what its rows say."""

from typing import Any

import decoding
import pytest
import torch

from segzero.pipeline import SegZero
from segzero.reasoning.decoder import Decoder


@pytest.fixture(scope="module")
def demo() -> SegZero:
    return SegZero.load("demo", "cpu")


def test_generate_full_and_rounded_weights_are_timed_in_turn(demo: SegZero) -> None:
    rows = {row["weights"]: row for row in decoding.compare(demo, tokens=12, repeats=2)}
    assert list(rows) == ["generate", "full", "int4"]
    assert rows["generate"]["times as fast"]["median"] == 1
    assert all(row["ms per token"]["median"] > 0 for row in rows.values())


def test_bytes_are_those_of_layers_and_head(demo: SegZero) -> None:
    reasoner: Any = demo._reasoner
    model = reasoner._model
    layers = model.model.language_model.layers
    expected = sum(weight.nbytes for weight in layers.parameters())
    heads = sum(  # one scale for each head's every part here, one for all heads there
        3 * layer.self_attn.q_norm.weight.nbytes + 3 * layer.self_attn.k_norm.weight.nbytes
        for layer in layers
    )
    expected += heads + model.lm_head.weight.nbytes
    assert decoding._bytes(Decoder(model)) == expected
    assert decoding._bytes(Decoder(model, four_bits=True)) < expected / 5


def test_bandwidth_is_that_of_a_computer() -> None:
    assert 1e8 < decoding.bandwidth(torch.device("cpu")) < 1e13
