"""The benchmark of answering; and that the fast path answers as the published flow does."""

from pathlib import Path
from typing import Any

import answer
import models
import numpy as np
import pytest
import records
import torch

from segzero.pipeline import SegZero

MASK = np.eye(4, dtype=bool)


def run(total: float, masks: list[np.ndarray], text: str = "a") -> answer.Run:
    return answer.Run({"write": total / 2, "total": total}, 9, text, masks)


@pytest.mark.slow
def test_the_fast_path_answers_as_the_published_flow_does() -> None:
    pairs = answer.compare(SegZero.load("demo", "cpu"), 6)
    figures = answer.summary(pairs)
    assert figures["questions"] >= 4
    assert figures["same text"] == figures["questions"]
    assert figures["lowest IoU of masks"] >= 0.99
    assert sum(len(fast.masks) for _, fast in pairs) >= 4


def test_each_pair_gives_a_ratio() -> None:
    pairs = [(run(30.0, [MASK]), run(10.0, [MASK])), (run(10.0, [MASK]), run(10.0, [MASK]))]
    figures = answer.summary(pairs)
    assert figures["times as fast"]["median"] == 2.0
    assert figures["baseline [ms]"]["total"]["median"] == 20.0


def test_a_text_or_a_mask_that_differs_is_told() -> None:
    other = MASK.copy()
    other[0, 0] = False
    pairs = [(run(1.0, [MASK]), run(1.0, [other])), (run(1.0, [MASK]), run(1.0, [MASK], "b"))]
    figures = answer.summary(pairs)
    assert (figures["same text"], figures["lowest IoU of masks"]) == (1, 0.75)
    assert answer.summary([(run(1.0, [MASK]), run(1.0, []))])["lowest IoU of masks"] == 0.0


def test_the_table_has_every_stage_of_both(tmp_path: Path) -> None:
    pairs = [(run(30.0, [MASK]), run(10.0, [MASK]))]
    text = answer.tables(answer.summary(pairs))
    assert "| write | 15.0 (15.0–15.0) | 5.0 (5.0–5.0) |" in text
    assert text.endswith("masks' lowest IoU 1.0")
    records.record({"a": 1}, ["torch"], tmp_path / "new" / "x.json")
    assert (tmp_path / "new" / "x.json").exists()


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("benchmarks/answer.py", "python benchmarks/answer.py"),
        ("/x/answer.py --questions 3", "python benchmarks/answer.py --questions 3"),
        ("answer.py --out /tmp/x.json --questions 3", "python benchmarks/answer.py --questions 3"),
        (
            f"answer.py --out {records.RESULTS / 'b.json'}",
            f"python benchmarks/answer.py --out {records.RESULTS / 'b.json'}",
        ),
    ],
)
def test_the_recorded_command_names_no_file_of_ones_own(typed: str, recorded: str) -> None:
    assert records.command(typed.split()) == recorded


@pytest.mark.parametrize(
    ("language", "billions"),
    [("qwen2.5-vl-3b", 3.755), ("qwen2.5-vl-7b", 8.292), ("qwen3-vl-8b", 8.767)],
)
def test_random_language_models_have_the_published_number_of_weights(
    language: str, billions: float
) -> None:
    built: Any = models.random(language, "sam2.1-tiny", 4, torch.device("meta"))
    count = sum(weight.numel() for weight in built._reasoner._model.parameters())
    assert count / 1e9 == pytest.approx(billions, abs=0.001)


@pytest.mark.parametrize(
    ("segmenter", "millions"),
    [
        ("sam2.1-tiny", 38.96),
        ("sam2.1-small", 46.06),
        ("sam2.1-base-plus", 80.83),
        ("sam2.1-large", 224.45),
    ],
)
def test_random_segmenters_have_the_published_number_of_weights(
    segmenter: str, millions: float
) -> None:
    built: Any = models.random("qwen2.5-vl-3b", segmenter, 4, torch.device("meta"))
    count = sum(weight.numel() for weight in built._segmenter._video.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["qwen2.5-vl-7b", "qwen3-vl-8b"])
def test_random_weights_write_the_tokens_asked_for(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each model the first two layers, narrower; of the segmenter's stages one block each."""
    config = models.LANGUAGE[language]
    fewer = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 64}
    text = {**config["text_config"], **fewer, "num_attention_heads": 1, "num_key_value_heads": 1}
    narrow = {"hidden_size": 128, "num_heads": 2, "intermediate_size": 64}
    vision = {**config["vision_config"], **narrow, "depth": 2, "out_hidden_size": 128}
    if "deepstack_visual_indexes" in vision:
        vision["deepstack_visual_indexes"] = [0]
    small = {**config, "text_config": text, "vision_config": vision}
    monkeypatch.setitem(models.LANGUAGE, language, small)
    tiny = (16, 1, [1, 1, 2, 1], [8, 4, 14, 7], [3])
    monkeypatch.setitem(models.SEGMENTER, "sam2.1-tiny", tiny)
    built = models.random(language, "sam2.1-tiny", 5, torch.device("cpu"))
    image = np.zeros((64, 96, 3), np.uint8)
    plain = answer.Baseline(built, answer.FIXED)(image, "the red ball")
    fast = answer.Fast(built, answer.FIXED)(image, "the red ball")
    assert plain.new_tokens == fast.new_tokens == 5
    assert len(plain.masks) == len(fast.masks) == 1
