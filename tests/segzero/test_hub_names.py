from pathlib import Path

import pytest

from segzero.errors import CheckpointError
from segzero.hub_names import is_hub_name
from segzero.profiles import load_profile
from segzero.weights import resolve_weights

PATHS = [
    "data/reasonseg",
    "runs/mine",
    "Data/set",
    "exported/reasoner",
    "./x",
    "./owner/name",
    "../owner/name",
    "/x",
    "/owner/name",
    "~/x",
    r"a\b",
    r"owner\name",
    "C:/x",
    "a/b/c",
    "owner/name/",
    "owner/name.parquet",
    "owner/rows.jsonl",
    "owner/profile.yaml",
    "owner/..",
    "name",
    "",
]
NAMES = [
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "facebook/sam2.1-hiera-large",
    "Ricky06662/refCOCOg_9k_840",
    "a/b",
]


@pytest.mark.parametrize("name", PATHS)
def test_what_looks_like_a_path_is_no_name_on_the_hub(name: str) -> None:
    assert not is_hub_name(name)


@pytest.mark.parametrize("name", NAMES)
def test_owner_and_name_are_a_name_on_the_hub(name: str) -> None:
    assert is_hub_name(name)


def test_a_first_folder_that_exists_makes_it_a_path(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert is_hub_name("mine/x")
    assert not is_hub_name("mine/x", (tmp_path,))


@pytest.mark.parametrize("weights", ["./best", "runs/best", "~/best", "here/best", "own/m.pt"])
def test_a_profile_never_sends_a_path_to_the_hub(weights: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"summary: mine\nreasoner: {weights}\nsegmenter: checkpoints/demo/segmenter\n"
        "prompt: vision_reasoner\nanswer_format: vision_reasoner\n"
        "coordinates: absolute_pixels\nrounding: half_up\n"
    )
    reasoner = load_profile(file).reasoner
    assert Path(reasoner).is_absolute()
    with pytest.raises(CheckpointError, match="there is no folder"):
        resolve_weights(reasoner, str(file))
