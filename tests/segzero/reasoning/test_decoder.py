"""Decoding of one's own writes what transformers' `generate` writes, token for token."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from segzero.reasoning.decoder import Decoder, supports
from segzero.reasoning.step_graphs import StepGraphs
from tests.segzero.reasoning.decoding import decoded, generated, prompt, settings


@pytest.mark.parametrize(
    "options",
    [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"suppress_tokens": [5, 9]}],
    ids=str,
)
def test_it_writes_what_generate_writes(folder: Path, model: Any, options: dict) -> None:
    inputs = prompt(folder, words=3)
    config = settings(model, 40, **options)
    expected = generated(model, inputs, config)
    assert decoded(Decoder(model), inputs, config) == expected
    assert len(expected) == 40


def test_prompts_of_any_length_follow_each_other(folder: Path, model: Any) -> None:
    decoder = Decoder(model)
    for words, side in ((40, 168), (1, 112), (400, 112), (2, 224)):  # the third needs more room
        inputs = prompt(folder, words, side)
        config = settings(model, 12)
        assert decoded(decoder, inputs, config) == generated(model, inputs, config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here a graph can be recorded")
def test_where_no_graph_can_be_recorded_it_goes_on_without(
    folder: Path, model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    decoder: Any = Decoder(model)
    inputs, config = prompt(folder, words=3), settings(model, 12)
    expected = decoded(decoder, inputs, config)
    decoder._graphs = StepGraphs(
        partial(decoder._fused.forward_fixed, decoder._kv_cache), decoder._kv_cache.slots
    )
    decoder._graphs.usable = True  # as on a GPU
    for _ in range(2):
        assert decoded(decoder, inputs, config) == expected == generated(model, inputs, config)
    (record,) = caplog.records
    assert "without CUDA graphs" in record.message


def test_the_model_keeps_its_weights_and_they_lie_in_memory_once(folder: Path, model: Any) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    decoder: Any = Decoder(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    attention = model.model.language_model.layers[0].self_attn
    assert attention.q_proj.weight.data_ptr() == decoder._fused.layers[0].qkv_proj.data_ptr()
    assert attention.k_proj.weight.untyped_storage().data_ptr() == (
        decoder._fused.layers[0].qkv_proj.untyped_storage().data_ptr()
    )


def test_a_model_with_adapters_is_left_to_transformers(model: Any) -> None:
    assert supports(model)
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    assert not supports(adapted.base_model.model)


def test_other_models_are_left_to_transformers() -> None:
    assert not supports(torch.nn.Linear(2, 2))
