import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import SFTConfig, SFTTrainer

from segzero.profiles import load_profile, resource_root
from segzero.reasoning import coordinates
from segzero.reasoning.answers import AnswerFormat, parse
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.coordinates import Coordinates
from segzero.types import Box, Point
from segzero_train import sft
from segzero_train.datasets import tabletop
from segzero_train.datasets.solutions import parse_solution
from segzero_train.datasets.tabletop_texts import GRID, MATCH
from segzero_train.errors import BadData
from segzero_train.recipe import SftOptions, read_recipe
from segzero_train.training.preprocessing import ModelSpace
from tests.segzero import tiny_checkpoints
from tests.segzero.profile_files import write_profile

DEMO = ["--config", str(resource_root() / "config" / "sft" / "demo.yaml"), "--report_to", "none"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny models are slower on more, and sums depend on how many
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Of each category one row; 320x240 pixels, one or more objects."""
    return tabletop.rows("train", 5)


def model_space(answer_format: AnswerFormat = "vision_reasoner") -> ModelSpace:
    format_ = CompletionFormat(answer_format, "relative_1000")
    return ModelSpace(answer_format, format_, 256, (256, 256))


def recipe(*arguments: str) -> list[str]:
    return [*DEMO, "--dataset_size", "8", "--per_device_train_batch_size", "4", *arguments]


def trainer(*arguments: str) -> SFTTrainer:
    return sft.build_trainer(*read_recipe((SftOptions, SFTConfig), recipe(*arguments)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def target(row: dict[str, Any], thinking: bool) -> str:
    (message,) = sft.example(row, model_space(), thinking)["completion"]
    assert message["role"] == "assistant"
    return message["content"]


def test_without_thinking_the_target_is_the_answer_alone(rows: Dataset) -> None:
    solution = '[{"bbox_2d": [32, 24, 160, 120], "point_2d": [64, 96]}]'
    row = rows[0] | {"solution": solution, "target": None}
    assert target(row, thinking=False) == (
        '<answer>[{"bbox_2d": [100,100,500,500], "point_2d": [200,400]}]</answer>'
    )


@pytest.mark.parametrize("number", range(5))
def test_the_tabletops_targets_lie_on_the_grid_of_its_thoughts(rows: Dataset, number: int) -> None:
    row = dict(rows[number])
    _, _, written = target(row, thinking=True).partition("<answer>")
    assert all(int(value) % GRID == 0 for value in re.findall(r"\d+(?=[,\]])", written))
    thought = row["thinking"].partition(MATCH)[2]
    assert re.findall(r'"bbox_2d": (\[.*?\])', written) == re.findall(r"\[.*?\]", thought)


def test_a_target_that_cannot_be_read_names_its_row(rows: Dataset) -> None:
    with pytest.raises(BadData, match="row train-00000: the target can't be read"):
        target(rows[0] | {"target": "a box"}, thinking=False)


def test_with_thinking_the_rows_text_goes_before_the_answer(rows: Dataset) -> None:
    row = rows[0] | {"thinking": "the ball is red", "solution": "[]", "target": None}
    del row["mask"]  # it has an object
    assert target(row, thinking=True) == "<think> the ball is red </think><answer>[]</answer>"


def test_targets_of_the_single_object_format_have_two_points(rows: Dataset) -> None:
    solution = "<box>(32,24),(160,120)</box><points>(64,96),(80,48)</points>"
    row = rows[0] | {"solution": solution, "target": None}
    made = sft.example(row, model_space("seg_zero"), thinking=False)
    assert parse(made["completion"][0]["content"], "seg_zero").objects[0].points == (
        Point(200, 400),
        Point(250, 200),
    )


@pytest.mark.parametrize(
    ("save", "convention", "image_tokens", "size"),
    [
        (tiny_checkpoints.save_qwen2_5_vl, "absolute_pixels", 64, (224, 224)),
        (tiny_checkpoints.save_qwen3_vl, "relative_1000", 49, (224, 224)),
    ],
)
def test_batches_keep_image_tokens_prompts_and_coordinates(
    tmp_path: Path, save: Any, convention: Coordinates, image_tokens: int, size: tuple[int, int]
) -> None:
    profile = write_profile(
        tmp_path / "tiny.yaml",
        save(tmp_path / "weights"),
        Path("checkpoints/demo/segmenter"),
        coordinates=convention,
        image_size=230,  # no multiple of its patches
    )
    made: Any = trainer(
        *("--profile", str(profile), "--thinking", "false", "--output_dir", str(tmp_path / "run")),
        *("--freeze_vision", "false", "--dataset_size", "5", "--max_prompt_length", "2000"),
    )
    tokenizer = made.processing_class.tokenizer
    batch = made.data_collator([made.train_dataset[number] for number in range(5)])
    ground_truth = tabletop.rows("train", 5)
    lengths = batch["attention_mask"].sum(1)
    assert len(set(lengths.tolist())) > 1
    for number in range(5):
        ids, labels = batch["input_ids"][number], batch["labels"][number]
        text = ids[: lengths[number]]
        assert (batch["attention_mask"][number] == 1).nonzero()[:, 0].max() == lengths[number] - 1
        assert (ids == made.model.config.image_token_id).sum() == image_tokens
        learned = labels != -100
        assert torch.equal(labels[learned], ids[learned])
        prompt, completion = (
            tokenizer.decode(part) for part in (text[~learned[: lengths[number]]], ids[learned])
        )
        assert prompt.endswith("assistant\n")
        assert ground_truth[number]["problem"].strip("?") in prompt
        assert "<answer>" not in prompt.partition("assistant\n")[2]
        assert completion.startswith("<answer>")
        assert completion.rstrip().endswith("</answer><|im_end|>")
        moved = coordinates.to_image(
            parse(completion, "vision_reasoner"), convention, size, (320, 240), "half_up"
        )
        expected = parse_solution(ground_truth[number]["solution"])
        assert len(moved.objects) == len(expected)
        for found, wanted in zip(moved.objects, expected, strict=True):
            assert found.box and wanted.box and apart(found.box, wanted.box) <= 1
    rows, columns = batch["image_grid_thw"][0, 1:].tolist()
    patch = made.processing_class.image_processor.patch_size
    assert (columns * patch, rows * patch) == size


def apart(box: Box, other: Box) -> float:
    sides = ((box.x1, other.x1), (box.y1, other.y1), (box.x2, other.x2), (box.y2, other.y2))
    return max(abs(a - b) for a, b in sides)


@pytest.mark.slow
def test_training_lowers_the_loss_and_leaves_the_vision_tower(tmp_path: Path) -> None:
    steps = ("--max_steps", "12", "--learning_rate", "3e-4")
    assert sft.main(recipe("--output_dir", str(tmp_path), *steps)) == 0
    log = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    base, trained = weights(Path(load_profile("demo").reasoner)), weights(tmp_path)
    assert trained.keys() == base.keys()
    moved = {key for key in base if not torch.equal(base[key], trained[key])}
    assert moved == {key for key in base if ".visual." not in key}


@pytest.mark.slow
def test_lora_trains_adapters_on_the_language_model_alone(tmp_path: Path) -> None:
    options = ("--max_steps", "2", "--lora_rank", "4", "--learning_rate", "1e-3")
    assert sft.main(recipe("--output_dir", str(tmp_path), *options)) == 0
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    assert adapter
    assert all(".language_model." in key and ".lora_" in key for key in adapter)
    assert all(tensor.any() for key, tensor in adapter.items() if "lora_B" in key)
    base = AutoModelForImageTextToText.from_pretrained(load_profile("demo").reasoner)
    PeftModel.from_pretrained(base, str(tmp_path))
    assert AutoProcessor.from_pretrained(tmp_path).image_token == "<|image_pad|>"


def with_callback(patch: pytest.MonkeyPatch, callback: TrainerCallback) -> None:
    """Have the command's trainers call `callback`, too."""
    build = sft.build_trainer

    def build_with_callback(*arguments: Any) -> SFTTrainer:
        made = build(*arguments)
        made.add_callback(callback)
        return made

    patch.setattr(sft, "build_trainer", build_with_callback)


class Kill(TrainerCallback):
    """Ends the training at once in the middle, as a lost machine would."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            raise SystemExit(9)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--per_device_train_batch_size", "1", "--max_steps", "5", "--save_steps", "2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert sft.main(recipe("--output_dir", str(whole), *options)) == 0
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        with_callback(patch, Kill())
        sft.main(recipe("--output_dir", str(killed), *options))
    assert [path.name for path in killed.glob("checkpoint-*")] == ["checkpoint-2"]
    assert sft.main(recipe("--output_dir", str(killed), *options)) == 0
    log = json.loads((killed / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4, 5]
    resumed = weights(killed)
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in weights(whole).items())


class PressCtrlC(TrainerCallback):
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_with_130_and_says_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_callback(monkeypatch, PressCtrlC())
    assert sft.main(recipe("--output_dir", str(tmp_path), "--max_steps", "5")) == 130
    assert f"{tmp_path}/checkpoint-2 is whole" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_length", "512"], "max_length: 512 would cut answers off"),
        (["--packing", "true"], "Packing is not supported"),
        (["--profile", "no-such-profile"], "no-such-profile"),
        (["--dataset", "no/such/folder"], "no/such/folder"),
        (["--max_prompt_length", "10"], "longer than 10 tokens"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sft.main(recipe("--output_dir", str(tmp_path / "run"), *arguments)) == 1
    (line,) = (row for row in capsys.readouterr().err.splitlines() if row.startswith("error: "))
    assert message in line
    assert not (tmp_path / "run").exists()


def test_unknown_keys_of_a_recipe_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("profile: demo\nthinkin: true\n")
    assert sft.main(["--config", str(file)]) == 1
    assert "unknown keys: thinkin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (None, "no column `thinking`"),
        ("", "row train-00002: the thinking can't be imitated: it is empty"),
        ("so </think> it is", "row train-00002: .*holds a tag"),
    ],
)
def test_rows_without_a_usable_thinking_text_are_named(
    rows: Dataset, column: str | None, message: str
) -> None:
    texts = rows["thinking"]
    rows = rows.remove_columns("thinking")
    if column is not None:
        rows = rows.add_column("thinking", [*texts[:2], column, *texts[3:]])
    processor = AutoProcessor.from_pretrained(load_profile("demo").reasoner)
    with pytest.raises(BadData, match=message):
        sft.example_rows(rows, model_space(), processor, SftOptions(thinking=True))


@pytest.mark.parametrize("name", ["demo", "seg_zero_3b"])
def test_the_shipped_recipes_are_read(name: str, tmp_path: Path) -> None:
    file = resource_root() / "config" / "sft" / f"{name}.yaml"
    arguments = ["--config", str(file), "--output_dir", str(tmp_path), "--bf16", "false"]
    options, config = read_recipe((SftOptions, SFTConfig), arguments)
    assert load_profile(options.profile)
    assert config.max_length is None
    assert config.report_to == ["tensorboard"]
