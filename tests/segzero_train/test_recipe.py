"""How a recipe is read from a file and a command line, and what is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOConfig, SFTConfig

from segzero_train import grpo
from segzero_train.accumulation import accumulation_words
from segzero_train.datasets.mixing import training_source
from segzero_train.errors import BadRecipe
from segzero_train.recipe import GrpoOptions, SftOptions, TaskOptions, read_recipe
from segzero_train.training.model import base_profile
from tests.segzero_train.recipes import RECIPES, ROOT, read, shipped


def write(folder: Path, text: str) -> str:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return str(file)


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "profile: demo\nlearning_rate: 1.0e-5\nlora_rank: 4\nrewards: [a, b]\n")
    options, config = read("--config", file, "--learning_rate", "0.5", "--rewards", "c", "d=2")
    assert (config.learning_rate, options.lora_rank, options.rewards) == (0.5, 4, ["c", "d=2"])


def test_a_recipe_can_be_given_by_the_command_line_alone() -> None:
    options, config = read("--profile", "demo", "--num_generations", "4")
    assert (options.profile, config.num_generations) == ("demo", 4)


@pytest.mark.parametrize("key", ["learning_rat", "vram", "held_out_sise"])
def test_an_unknown_key_of_the_file_is_named(key: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"profile: demo\n{key}: 1\n")
    with pytest.raises(BadRecipe, match=rf"recipe\.yaml has unknown keys: {key}.*; --help"):
        read("--config", file)


@pytest.mark.parametrize("option", ["--learning_rat", "--vram"])
def test_an_unknown_key_of_the_command_line_is_named(option: str) -> None:
    with pytest.raises(BadRecipe, match=option):
        read("--profile", "demo", option, "1")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("learning_rat", "learning_rate"),
        ("held_out_sise", "held_out_size"),
        ("promt_per_step", "prompts_per_step"),
        ("reward", "rewards"),
    ],
)
def test_the_nearest_key_is_named(key: str, nearest: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"profile: demo\n{key}: 1\n")
    with pytest.raises(BadRecipe, match=rf"{key} \(did you mean {nearest}\?\)"):
        read("--config", file)
    for option in (f"--{key}", f"--{key.replace('_', '-')}", f"--{key}=1"):
        with pytest.raises(BadRecipe, match=rf"--{key} \(did you mean --{nearest}\?\)"):
            read("--profile", "demo", option, *(() if "=" in option else ("1",)))


@pytest.mark.parametrize("written", [["--profile", "qwen2.5-vl-3b"], ["--profile=qwen2.5-vl-3b"]])
def test_a_profile_of_the_command_line_beats_the_recipes_weights(written: list[str]) -> None:
    options, _ = read("--config", "seg_zero_7b", *written)
    assert base_profile(options).reasoner == "Qwen/Qwen2.5-VL-3B-Instruct"


def test_weights_of_the_command_line_beat_the_profiles() -> None:
    words = ["--profile", "qwen2.5-vl-3b", "--weights", "Qwen/Qwen2.5-VL-72B-Instruct"]
    options, _ = read("--config", "seg_zero_7b", *words)
    assert base_profile(options).reasoner == "Qwen/Qwen2.5-VL-72B-Instruct"


@pytest.mark.parametrize("processes", [1, 2, 8, 16])
def test_prompts_per_step_are_the_same_on_any_number_of_processes(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    content = {"prompts_per_step": 16, "num_generations": 8}
    words = ["--per_device_train_batch_size", "4"]
    made = accumulation_words((GrpoOptions, GRPOConfig), content, words)
    assert made == ["--gradient_accumulation_steps", str(128 // (4 * processes))]


def test_completions_of_a_rollout_are_those_of_a_step() -> None:
    _, config = read("--profile", "demo", "--prompts_per_step", "16", "--num_generations", "4")
    assert (config.gradient_accumulation_steps, config.steps_per_generation) == (8, 8)


@pytest.mark.parametrize(
    ("processes", "words", "message"),
    [
        (3, [], "3 processes with 4 at a time can't share: take a prompts_per_step that is a"),
        (64, [], "64 processes with 4 at a time .*: take a per_device_train_batch_size of 1, 2$"),
        (1, ["--per_device_train_batch_size", "48"], r"with 48 at a time .* of 1, 2, 4, 8, 16, 32"),
        (1, ["--gradient_accumulation_steps", "4"], "makes gradient_accumulation_steps 32 here"),
    ],
)
def test_prompts_that_can_not_be_shared_are_one_clear_line(
    processes: int, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    start = ["--profile", "demo", "--prompts_per_step", "16", "--per_device_train_batch_size", "4"]
    with pytest.raises(BadRecipe, match=message) as caught:
        read(*start, *words)
    assert "\n" not in str(caught.value)


def test_rows_of_a_supervised_step_are_shared_too() -> None:
    words = ["--profile", "demo", "--prompts_per_step", "16", "--per_device_train_batch_size", "2"]
    _, config = read_recipe((SftOptions, SFTConfig), [*words, "--use_cpu", "true"])
    assert config.gradient_accumulation_steps == 8


@pytest.mark.skipif(torch.cuda.is_available(), reason="bfloat16 is available")
@pytest.mark.parametrize("name", ["seg_zero_3b", "seg_zero_7b", "vision_reasoner_7b"])
def test_bfloat16_without_a_gpu_is_one_clear_line(name: str) -> None:
    with pytest.raises(BadRecipe, match=r"bf16: true needs a GPU .* add --bf16 false"):
        read_recipe((GrpoOptions, GRPOConfig), ["--config", name])


@pytest.mark.parametrize("value", ["fast", ""])
def test_an_impossible_value_of_the_command_line_is_named(value: str) -> None:
    with pytest.raises(BadRecipe, match=f"--learning_rate.*invalid float value: '{value}'"):
        read("--profile", "demo", "--learning_rate", value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- profile: demo\n", "isn't a YAML mapping"),
        ("", "isn't a YAML mapping"),
        ("profile: [demo\n", "isn't valid YAML"),
        ("profile: demo\nlearning_rate: fast\n", "fast"),
        ("profile: demo\nnum_generations: 1\n", "generations"),
        ("learning_rate: 1.0e-6\n", "names no profile"),
    ],
)
def test_an_unusable_file_is_explained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=message):
        read("--config", write(tmp_path, text))


def test_a_shipped_recipe_is_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options, _ = read("--config", "demo", "--max_steps", "3")
    assert base_profile(options).reasoner == str(ROOT / "checkpoints" / "demo" / "base")
    assert read("--config", "seg_zero_7b")[0] == shipped("seg_zero_7b")[0]
    assert read_recipe((SftOptions, SFTConfig), ["--config", "demo"])[0].thinking


def test_an_unknown_name_lists_all_recipes() -> None:
    with pytest.raises(BadRecipe, match=f"no grpo/dem: name one of {', '.join(RECIPES)}, or"):
        read("--config", "dem")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"absent\.yaml: No such file"):
        read("--config", str(tmp_path / "absent.yaml"))


def test_config_without_a_file_is_refused() -> None:
    with pytest.raises(BadRecipe, match="--config needs a recipe's name"):
        read_recipe((GrpoOptions, GRPOConfig), ["--config"])


def test_no_profile_is_refused() -> None:
    with pytest.raises(BadRecipe, match="names no profile"):
        read()


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"weights": "runs/base"}, "export RUN --out runs/base"),
        ({"weights": "./base"}, "hf download OWNER/NAME --local-dir ./base"),
        ({"weights": r"a\b"}, r"--out a\b"),
        ({"weights": "exported/reasoner"}, "export RUN --out exported` makes it"),
        (
            {"profile": "exported/profile.yaml"},
            "--out exported` writes exported/profile",
        ),
        ({"profile": "mine.yml"}, "segzero profiles"),
        ({"profile": "runs/exported"}, "export RUN --out runs/exported`"),
    ],
)
def test_a_missing_folder_is_refused_with_the_command_that_makes_it(
    options: dict[str, Any], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRecipe) as caught:
        base_profile(TaskOptions(**{"profile": "demo", **options}))
    assert command in str(caught.value)


def test_adapters_alone_are_no_weights_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadRecipe, match=r"holds LoRA adapters alone: .*export .* --out MERGED"):
        base_profile(TaskOptions(profile="demo", weights=str(tmp_path)))


@pytest.mark.parametrize("type_", [TaskOptions, GrpoOptions, SftOptions])
def test_every_field_is_documented(type_: type) -> None:
    assert all(field.metadata.get("help") for field in dataclasses.fields(type_))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "demo", "--rewards", "bbox"], "unknown reward 'bbox'"),
        (["--profile", "demo"], "names no rewards"),
        (["--profile", "demos", "--rewards", "accuracy"], "no profile 'demos'"),
        (["--config", "absent.yaml"], "can't read the recipe absent.yaml"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    arguments: list[str],
    message: str,
    table: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    more = ["--dataset", str(table), "--output_dir", str(run), "--use_cpu", "true"]
    assert grpo.main([*arguments, *more]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not run.exists()


MIXED = "profile: demo\nheld_out: tabletop\ndatasets: {data/grefcoco: 2, data/refcocog: 1}\n"


def test_a_file_gives_datasets_weights(tmp_path: Path) -> None:
    options, _ = read("--config", write(tmp_path, MIXED))
    assert training_source(options) == "data/grefcoco=2, data/refcocog=1"


def test_a_command_line_gives_them_as_json(tmp_path: Path) -> None:
    words = ["--config", write(tmp_path, MIXED), "--datasets", '{"data/a": 1}']
    assert training_source(read(*words)[0]) == "data/a=1"


def test_a_dataset_of_the_command_line_beats_the_recipes_mixture(tmp_path: Path) -> None:
    options, _ = read("--config", write(tmp_path, MIXED), "--dataset", "data/mine")
    assert training_source(options) == "data/mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("dataset: data/mine\n", "`dataset` and `datasets`: leave one out"),
        ("held_out: ''\n", "name the questions of the greedy evaluation as `held_out`"),
        ("datasets: data/mine\n", "datasets must give each set a weight"),
    ],
)
def test_an_impossible_mixture_is_explained(more: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=message):
        read("--config", write(tmp_path, MIXED + more))
