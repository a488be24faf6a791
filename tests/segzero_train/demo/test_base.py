from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segzero.pipeline import SegZero
from segzero.profiles import load_profile, resource_root
from segzero_train.demo.__main__ import demo_profile
from segzero_train.demo.base import load_reasoner, save_base, train_base
from segzero_train.demo.frames import Frames
from segzero_train.demo.lessons import make_lesson

CPU = torch.device("cpu")
REASONER = resource_root() / "checkpoints/demo/reasoner"


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 4, 28), (1.0, 32, 32)])
def test_as_many_completions_think_as_were_asked_for(
    frames: Frames, share: float, least: int, most: int
) -> None:
    lesson = make_lesson(frames, np.random.default_rng(0), batch=16, questions=2, thoughtful=share)
    thinking = sum("match" in completion for _, completion in lesson.texts)
    assert least <= thinking <= most


def test_a_base_is_saved_as_a_profile_of_its_own(frames: Frames, tmp_path: Path) -> None:
    model, processor = load_reasoner(REASONER)
    before = model.lm_head.weight.clone()
    vision = {name: weight.clone() for name, weight in model.model.visual.named_parameters()}
    model = train_base(model, processor, frames, tmp_path, steps=1, device=CPU)
    assert not torch.equal(model.lm_head.weight, before)
    assert all(
        torch.equal(weight, vision[name]) for name, weight in model.model.visual.named_parameters()
    )
    save_base(model, processor, tmp_path / "demo/base")
    profile = load_profile(tmp_path / "demo/base/profile.yaml")
    assert Path(profile.reasoner) == tmp_path / "demo/base"
    assert profile == replace(
        load_profile("demo"),
        name=profile.name,
        summary=profile.summary,
        reasoner=profile.reasoner,
        segmenter=profile.segmenter,
    )
    assert SegZero.load(replace(profile, segmenter=load_profile("demo").segmenter), "cpu")


def test_what_is_scored_lies_in_the_folder_that_was_written(tmp_path: Path) -> None:
    profile = demo_profile(tmp_path)
    assert (profile.reasoner, profile.segmenter) == (
        str(tmp_path / "reasoner"),
        str(tmp_path / "segmenter"),
    )
