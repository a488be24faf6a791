"""What the files beside the weights tell about the profile that a checkpoint needs."""

import json
from pathlib import Path
from typing import Any

import pytest

from segzero.checkpoint_check import check_checkpoint
from segzero.cli import main
from segzero.errors import CheckpointError
from segzero.profiles import load_profile

QWEN2_5 = {"model_type": "qwen2_5_vl", "hidden_size": 3584}
QWEN3 = {"model_type": "qwen3_vl", "text_config": {"hidden_size": 4096}}


def checkpoint(folder: Path, config: dict[str, Any] | None = None, **files: Any) -> Path:
    """A folder of small files; `README_md="…"` is README.md, a dict is JSON."""
    folder.mkdir(parents=True)
    files = {"config_json": QWEN2_5 if config is None else config, **files}
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{suffix}").write_text(text)
    return folder


CARD = {
    "title": "---\nlicense: other\n---\n# Seg-Zero-7B\nSee also VisionReasoner.",
    "base_model": "---\nbase_model: Ricky06662/Seg-Zero-7B\n---\n# mine",
    "base_model list": "---\nbase_model:\n- Ricky06662/Seg-Zero-7B\n---\n# mine",
    "keys": "Answers `{'bbox': [1,2,3,4], 'points_1': [1,2], 'points_2': [3,4]}`",
}


@pytest.mark.parametrize("card", CARD.values(), ids=CARD)
def test_a_model_card_tells_the_prompt(tmp_path: Path, card: str) -> None:
    report = check_checkpoint(checkpoint(tmp_path / "x", README_md=card))
    assert (report.kind, report.model) == ("reasoner", "Qwen2.5-VL 7B")
    assert {key: finding.value for key, finding in report.settings.items()} == {
        "prompt": "seg_zero",
        "answer_format": "seg_zero",
        "rounding": "round",
        "image_size": 840,
        "coordinates": "absolute_pixels",
        "segmenter": None,
    }
    assert "model card" in report.settings["prompt"].evidence
    assert report.profiles[0] == "seg-zero-7b"


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("Seg-Zero-3B", "seg-zero-7b"),
        ("Seg-Zero-7B", "seg-zero-7b"),
        ("my_seg_zero_run", "seg-zero-7b"),
        ("VisionReasoner-7B", "vision-reasoner-7b"),
        ("vision-reasoner-tuned", "vision-reasoner-7b"),
        ("Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b"),
        ("models--Ricky06662--VisionReasoner-7B/snapshots/0123", "vision-reasoner-7b"),
        ("models--someone--Seg-Zero-mine/snapshots/0123", "seg-zero-7b"),
    ],
)
def test_a_folders_name_tells_the_prompt(tmp_path: Path, name: str, fitting: str) -> None:
    report = check_checkpoint(checkpoint(tmp_path / name))
    assert report.profiles[0] == fitting
    assert report.settings["prompt"].value == load_profile(fitting).prompt


def test_the_family_tells_coordinates_and_with_them_the_profile(tmp_path: Path) -> None:
    report = check_checkpoint(checkpoint(tmp_path / "vision_reasoner", QWEN3))
    assert report.model == "Qwen3-VL 8B"
    assert report.settings["coordinates"].value == "relative_1000"
    assert "unless" in report.settings["coordinates"].evidence
    assert report.profiles == ("qwen3-vl-8b",)


def test_a_base_whose_profile_is_for_training_fits_none_before(tmp_path: Path) -> None:
    folder = checkpoint(
        tmp_path / "Qwen2-VL-2B-Instruct", {"model_type": "qwen2_vl", "hidden_size": 1536}
    )
    report = check_checkpoint(folder)
    assert report.model == "Qwen2-VL 2B"
    assert report.settings["coordinates"].value == "relative_1000"  # its profile trains pixels
    assert report.profiles == ()


@pytest.mark.parametrize("card", ["", "# a model", "Trained like Seg-Zero and VisionReasoner."])
def test_what_no_file_tells_is_unknown(tmp_path: Path, card: str) -> None:
    report = check_checkpoint(checkpoint(tmp_path / "x", README_md=card))
    assert report.settings["prompt"].value is None
    assert report.settings["coordinates"].value == "absolute_pixels"
    assert report.profiles == ()


def test_the_model_that_a_fine_tune_began_from_is_no_evidence_for_its_prompt(
    tmp_path: Path,
) -> None:
    config = QWEN2_5 | {"_name_or_path": "Qwen/Qwen2.5-VL-7B-Instruct"}
    assert check_checkpoint(checkpoint(tmp_path / "x", config)).settings["prompt"].value is None


@pytest.mark.parametrize("place", ["beside", "above"])
def test_an_exported_profile_tells_everything(tmp_path: Path, place: str) -> None:
    folder = checkpoint(tmp_path / "out" / "reasoner", QWEN3)
    beside = place == "beside"
    demo = load_profile("demo")
    text = (
        f"summary: mine\nreasoner: {'.' if beside else 'reasoner'}\nsegmenter: {demo.segmenter}\n"
        "prompt: seg_zero\nanswer_format: seg_zero\ncoordinates: absolute_pixels\n"
        "rounding: round\nimage_size: 420\n"
    )
    (folder if beside else folder.parent).joinpath("profile.yaml").write_text(text)
    settings = check_checkpoint(folder).settings
    values = [settings[key].value for key in ("prompt", "coordinates", "image_size", "segmenter")]
    assert values == ["seg_zero", "absolute_pixels", 420, demo.segmenter]


def test_a_runs_recipe_tells_everything(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "run" / "checkpoint-100", QWEN3)
    (tmp_path / "run" / "recipe.yaml").write_text("profile: demo\nlearning_rate: 1.0e-6\n")
    report = check_checkpoint(folder)
    assert report.settings["image_size"].value == 256
    assert report.profiles == ("demo",)


def test_a_shipped_profiles_own_folder_is_known() -> None:
    demo = load_profile("demo")
    report = check_checkpoint(Path(demo.reasoner))
    assert report.profiles == ("demo",)
    assert report.settings["segmenter"].value == demo.segmenter


def test_an_adapter_has_the_prompt_of_its_base_and_must_be_merged(tmp_path: Path) -> None:
    folder = checkpoint(
        tmp_path / "x", adapter_config_json={"base_model_name_or_path": "Ricky06662/Seg-Zero-7B"}
    )
    (folder / "config.json").unlink()
    report = check_checkpoint(folder)
    assert (report.kind, report.settings["prompt"].value) == ("adapter", "seg_zero")
    assert "segzero_train.export" in report.notes[0]


def test_an_adapter_of_an_untrained_base_tells_the_coordinates_only(tmp_path: Path) -> None:
    base = {"base_model_name_or_path": "Qwen/Qwen3-VL-8B-Instruct"}
    folder = checkpoint(tmp_path / "x", {}, adapter_config_json=base)
    settings = check_checkpoint(folder).settings
    assert settings["prompt"].value is None
    assert settings["coordinates"].value == "relative_1000"


def test_real_folders(qwen2_5_vl: Path, qwen3_vl: Path, sam2: Path) -> None:
    reports = [check_checkpoint(folder) for folder in (qwen2_5_vl, qwen3_vl, sam2)]
    assert [report.kind for report in reports] == ["reasoner", "reasoner", "segmenter"]
    assert [report.model for report in reports] == [
        "Qwen2.5-VL of hidden size 64",
        "Qwen3-VL of hidden size 64",
        "SAM 2 for 256 px",
    ]
    assert [report.settings and report.settings["coordinates"].value for report in reports] == [
        "absolute_pixels",
        "relative_1000",
        {},
    ]
    assert "follows objects" in reports[2].notes[0]


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({}, "no safetensors"),
        ({}, "no chat template"),
        ({"generation_config_json": {"repetition_penalty": 1.05}}, "repetition penalty of 1.05"),
        ({"preprocessor_config_json": {"max_pixels": 401408}}, "shrinks pictures to 401408"),
    ],
)
def test_what_should_be_known_before_use_is_noted(
    tmp_path: Path, files: dict[str, Any], note: str
) -> None:
    assert note in "\n".join(check_checkpoint(checkpoint(tmp_path / "x", **files)).notes)


def test_another_kind_of_model_is_named(tmp_path: Path) -> None:
    report = check_checkpoint(checkpoint(tmp_path / "Seg-Zero-7B", {"model_type": "llama"}))
    assert (report.kind, report.model, report.profiles) == ("other", "llama", ())


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "[" * 100_000, "\x00"])
def test_broken_files_are_named(tmp_path: Path, content: str) -> None:
    folder = checkpoint(tmp_path / "x", generation_config_json=content)
    with pytest.raises(CheckpointError, match=r"generation_config\.json"):
        check_checkpoint(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither config\.json"):
        check_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no folder"):
        check_checkpoint(tmp_path / "absent")


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint(tmp_path / "Seg-Zero-7B")
    assert main(["profiles", "--check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "prompt: seg_zero (its folder's name)" in text
    assert "segmenter: unknown" in text and "profiles that fit: seg-zero-7b" in text
    assert main(["profiles", "--check", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["coordinates"]["value"] == "absolute_pixels"
    assert report["profiles"][0] == "seg-zero-7b"


@pytest.mark.parametrize("evil", ["\x1b[31mred", "two\nlines", "\x9b2J", "\u202e"])
def test_no_terminal_obeys_what_a_file_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evil: str
) -> None:
    config = {"model_type": f"x{evil}"}
    assert main(["profiles", "--check", str(checkpoint(tmp_path / "x", config))]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))
    assert main(["ask", f"{evil}.png", "the ball"]) == 2
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8"])
def test_quantized_weights_are_noted(tmp_path: Path, method: str) -> None:
    config = QWEN2_5 | {"quantization_config": {"quant_method": method}}
    (note, *_) = check_checkpoint(checkpoint(tmp_path / "x", config)).notes
    assert f"quantized ({method})" in note


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", ["demo"], 7])
def test_a_recipe_that_names_no_profile_tells_nothing(tmp_path: Path, name: Any) -> None:
    recipe = json.dumps({"profile": name})
    report = check_checkpoint(checkpoint(tmp_path / "x", recipe_yaml=recipe))
    assert report.settings["prompt"].value is None
