"""An evaluation scores single answers: a profile that votes is refused, not scored without."""

from pathlib import Path

import pytest

from segzero.profiles import load_profile
from segzero_train import evaluate


@pytest.mark.parametrize("votes", [2, 9, 64])
def test_a_profile_that_votes_is_refused(
    votes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = load_profile("demo")
    profile = tmp_path / "voting.yaml"
    profile.write_text(
        f"summary: s\nreasoner: {demo.reasoner}\nsegmenter: {demo.segmenter}\nvotes: {votes}\n"
        f"prompt: {demo.prompt}\nanswer_format: {demo.answer_format}\n"
        f"coordinates: {demo.coordinates}\nrounding: {demo.rounding}\n"
    )
    words = ["--profile", str(profile), "--dataset", "tabletop", "--split", "val", "--size", "1"]
    assert evaluate.main([*words, "--device", "cpu"]) == 1
    assert f"--samples {votes}" in capsys.readouterr().err
