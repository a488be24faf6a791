"""Another question about the same picture: only what is new is read."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segzero.reasoning.decoder import Decoder
from tests.segzero.reasoning.decoding import decoded, generated, prompt, settings


def about(folder: Path, text: str, seed: int = 3) -> dict[str, torch.Tensor]:
    """A question about the picture of that seed."""
    inputs = dict(prompt(folder, words=seed))
    tokens = torch.tensor([[ord(letter) % 200 for letter in text]])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
    for name in ("attention_mask", "mm_token_type_ids"):
        if name in inputs:
            filler = inputs[name][:, -1:].expand_as(tokens)
            inputs[name] = torch.cat([inputs[name], filler], dim=1)
    return inputs


QUESTIONS = ["the red ball", "the red box", "the red ball", "x", "a much longer question " * 3]


def test_questions_about_one_picture_write_what_generate_writes(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(model)
    config = settings(model, 12)
    expected = [generated(model, about(folder, text), config) for text in QUESTIONS]
    read: list[int] = []
    forward = model.forward

    def count(**inputs: Any) -> Any:
        read.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", count)
    for text, tokens in zip(QUESTIONS, expected, strict=True):
        found = decoded(decoder, about(folder, text), config)
        assert found[: len(tokens)] == tokens  # `generate` may end before
    assert len(read) == 1  # the picture was read once


def test_another_picture_is_read(folder: Path, model: Any) -> None:
    decoder = Decoder(model)
    config = settings(model, 12)
    for seed in (3, 4, 3):
        inputs = about(folder, "the red ball", seed)
        inputs["input_ids"] = about(folder, "the red ball")["input_ids"]
        for name in ("attention_mask", "mm_token_type_ids"):
            inputs.pop(name, None)
        if "mm_token_type_ids" in about(folder, "the red ball"):
            inputs["mm_token_type_ids"] = about(folder, "the red ball")["mm_token_type_ids"]
        assert decoded(decoder, inputs, config) == generated(model, inputs, config)


def test_after_a_prompt_that_failed_everything_is_read(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(model)
    config = settings(model, 12)
    decoded(decoder, about(folder, "the red ball"), config)
    with monkeypatch.context() as patch:
        patch.setattr(decoder._fused, "forward", lambda *given, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decoded(decoder, about(folder, "the red box"), config)
    inputs = about(folder, "the red box")
    assert decoded(decoder, inputs, config) == generated(model, inputs, config)
