"""What the trainers make of rows, with the tokenizers and chat templates of the real models."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig

from segzero.profiles import load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero_train import sft
from segzero_train.datasets import tabletop
from segzero_train.errors import BadData
from segzero_train.grpo import build_trainer
from segzero_train.recipe import SftOptions, read_recipe
from segzero_train.training.preprocessing import ModelSpace, training_row, training_rows
from tests.segzero import qwen_tokenizer, tiny_checkpoints
from tests.segzero.qwen_tokenizer import FAMILIES
from tests.segzero_train.tiny_runs import recipe, words

PROMPTS = ("seg_zero", "vision_reasoner")
GRPO_ALONE = (
    *("rewards", "num_generations", "held_out_size", "samples_every", "beta", "loss_type"),
    *("max_completion_length", "held_out_samples"),
)
SIDE = {"qwen2_5_vl": 840, "qwen3_vl": 832}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return tabletop.rows("train", 5)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def processor(family: Any, qwen_tokenizer_file: Path) -> Any:
    return qwen_tokenizer.processor(qwen_tokenizer.load(qwen_tokenizer_file, family), family)


def prompt_ids(processor: Any, row: dict[str, Any]) -> list[int]:
    """A row's prompt as the model reads it at inference."""
    chat = processor.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    return list(processor(text=[chat], images=[row["image"]])["input_ids"][0])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_length_of_a_prompt_is_that_of_the_models_input(
    rows: Dataset, processor: Any, family: str, prompt: str
) -> None:
    space = ModelSpace(
        prompt, CompletionFormat("vision_reasoner", "relative_1000"), 840, (SIDE[family],) * 2
    )
    made = training_row(rows[0], space)
    length = len(prompt_ids(processor, made))
    (kept,) = training_rows(rows.select([0]), space, processor, length)
    assert kept["id"] == made["id"]
    with pytest.raises(BadData, match=f"the shortest has {length}"):
        training_rows(rows.select([0]), space, processor, length - 1)


@pytest.fixture(scope="module")
def profile(family: str, processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on the disk that reads the published tokens; pictures of 275 pixels."""
    folder = tmp_path_factory.mktemp("published")
    save = getattr(tiny_checkpoints, f"save_{family}")
    save(folder / "reasoner", processor=processor)
    coordinates = {"qwen2_5_vl": "absolute_pixels", "qwen3_vl": "relative_1000"}[family]
    path = folder / "profile.yaml"
    path.write_text(
        f"summary: tiny\nreasoner: {folder / 'reasoner'}\n"
        f"segmenter: {load_profile('demo').segmenter}\n"
        "reasoner_dtype: float32\nsegmenter_dtype: float32\n"
        "prompt: vision_reasoner\nanswer_format: vision_reasoner\n"
        f"coordinates: {coordinates}\nrounding: half_up\nimage_size: 275\n"
    )
    return path


@pytest.mark.slow
def test_the_supervised_loss_is_on_the_answer_and_the_end_of_the_turn(
    profile: Path, processor: Any, rows: Dataset, table: Path, tmp_path: Path
) -> None:
    changes = dict.fromkeys(GRPO_ALONE)
    listed = words(profile, table, tmp_path / "run", max_length="null", thinking=True, **changes)
    trainer: Any = sft.build_trainer(*read_recipe((SftOptions, SFTConfig), listed))
    examples = [trainer.train_dataset[number] for number in range(4)]
    # Collating changes the rows.
    prompts = [prompt_ids(processor, row) for row in examples]
    texts = [row["completion"][0]["content"] for row in examples]
    batch = trainer.data_collator(examples)
    for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        ids = batch["input_ids"][number][batch["attention_mask"][number].bool()]
        completion = processor.tokenizer(f"{text}<|im_end|>\n")["input_ids"]
        assert ids.tolist() == prompt + completion
        learned = batch["labels"][number] != -100
        assert batch["labels"][number][learned].tolist() == completion


@pytest.mark.slow
def test_rollouts_start_from_the_tokens_of_inference(
    profile: Path, processor: Any, table: Path, tmp_path: Path
) -> None:
    changes = {"max_completion_length": 8, "dataset_size": 2, "num_generations": 2}
    trainer: Any = build_trainer(
        *recipe(profile, table, tmp_path / "run", per_device_train_batch_size=4, **changes)
    )
    rows = [trainer.train_dataset[number] for number in (0, 0, 1, 1)]
    batch = trainer._generate_and_score_completions(rows)
    for number, made in enumerate(rows):
        ids = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()]
        assert ids.tolist() == prompt_ids(processor, made)
