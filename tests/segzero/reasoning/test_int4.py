"""Weights of four bits: what a product with them is, and what a model writes by them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText

from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning.decoder import Decoder, supports_int4_decoding
from segzero.reasoning.int4 import Int4Linear, supports_int4
from segzero.reasoning.reasoner import Sampling
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from tests.segzero import tiny_checkpoints
from tests.segzero.reasoning.decoding import MODELS, decoded, generated, prompt, settings

GROUP = 64


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """The weight that products are with."""
    return Int4Linear(weight)(torch.eye(weight.shape[1], dtype=weight.dtype)).t()


@given(st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 300.0]), st.sampled_from([-5.0, 0.0, 2.0]))
def test_a_weight_moves_by_half_a_level_at_most(seed: int, scale: float, middle: float) -> None:
    weight = scale * (torch.randn(32, 3 * GROUP, generator=torch.manual_seed(seed)) + middle)
    groups, found = (item.unflatten(1, (-1, GROUP)) for item in (weight, rounded(weight)))
    level = (groups.amax(-1) - groups.amin(-1)) / 15
    assert ((groups - found).abs() <= (0.501 * level + 1e-4 * scale)[..., None]).all()


def test_each_group_has_sixteen_levels_its_ends_among_them() -> None:
    weight = torch.randn(16, GROUP)
    found = rounded(weight)
    assert max(len(row.unique()) for row in found) <= 16
    torch.testing.assert_close(found.amax(1), weight.amax(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.amin(1), weight.amin(1), rtol=1e-5, atol=1e-5)


def test_equal_weights_stay() -> None:
    torch.testing.assert_close(rounded(torch.full((16, GROUP), 0.5)), torch.full((16, GROUP), 0.5))


def test_it_reads_less_than_a_sixth_of_float32() -> None:
    weight = torch.randn(256, 256)
    assert Int4Linear(weight).nbytes < weight.nbytes / 6


@pytest.mark.parametrize(("shape", "fit"), [((32, 128), True), ((32, 96), False), ((8, 64), False)])
def test_shapes_that_the_kernels_do_not_take_are_told(shape: tuple[int, int], fit: bool) -> None:
    assert supports_int4(torch.zeros(shape)) == fit


@pytest.mark.parametrize("family", MODELS)
def test_the_decoder_writes_what_generate_writes_with_the_rounded_weights(
    family: str, tmp_path: Path
) -> None:
    folder = getattr(tiny_checkpoints, f"save_{family}")(tmp_path)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    assert supports_int4_decoding(model)
    for name, module in model.model.language_model.layers.named_modules():
        if name.endswith("_proj"):
            module.weight.data = rounded(4 * module.weight.data)
    inputs, config = prompt(folder, words=3), settings(model, 40)
    assert decoded(Decoder(model, four_bits=True), inputs, config) == generated(
        model, inputs, config
    )


def test_the_model_keeps_its_own_weights(tmp_path: Path) -> None:
    model: Any = AutoModelForImageTextToText.from_pretrained(
        tiny_checkpoints.save_qwen3_vl(tmp_path)
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Decoder(model, four_bits=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def four_bits(folder: Path, **changes: str) -> Path:
    """The demo's profile, in four bits."""
    demo = load_profile("demo")
    path = folder / "four.yaml"
    keys = {
        **{name: getattr(demo, name) for name in ("reasoner", "segmenter", "prompt")},
        **{name: getattr(demo, name) for name in ("answer_format", "coordinates", "rounding")},
        "summary": "the demo in four bits",
        "reasoner_dtype": "float32",
        "segmenter_dtype": "float32",
        "image_size": demo.image_size,
        "max_new_tokens": demo.max_new_tokens,
        "decoding_weights": "int4",
        **changes,
    }
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items()))
    return path


def test_the_demo_answers_in_four_bits_one_at_a_time_or_in_a_batch(tmp_path: Path) -> None:
    segzero = SegZero.load(four_bits(tmp_path), "cpu")
    with TabletopRenderer(320, 240) as renderer:
        image = draw_usable(renderer, 7, depth=False)[1].rgb
    alone = segzero.ask(image, "the red ball")
    (together,) = segzero.ask_batch([image], ["the red ball"])
    assert together.text == alone.text
    assert alone.text.startswith("<think>")
    assert alone.text.endswith("</answer>")


def test_four_bits_do_not_sample(tmp_path: Path) -> None:
    segzero = SegZero.load(four_bits(tmp_path), "cpu")
    image = np.zeros((240, 320, 3), np.uint8)
    with pytest.raises(CheckpointError, match="decoding_weights to full"):
        segzero.ask_batch([image], ["the red ball"], sampling=Sampling(1.0, 0))


def test_a_server_is_not_told_its_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"decoding_weights .* server"):
        load_profile(four_bits(tmp_path, server="http://localhost:8000/v1"))


def test_a_model_that_the_kernels_do_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segzero.reasoning.decoder.int4.supports_int4", lambda weight: False)
    with pytest.raises(CheckpointError, match="decoding_weights to full"):
        SegZero.load(four_bits(tmp_path), "cpu")
