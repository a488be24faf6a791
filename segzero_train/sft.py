"""`python -m segzero_train.sft --config RECIPE [--key value …]`: imitate the ground truth.

RECIPE is the name of a shipped recipe, which `--list` lists, or a file. The same command goes on
with a run that was interrupted.

This is the paper's supervised baseline: the model learns to write each row's true answer. The data
has no thinking texts, so that by default the target is `<answer>…</answer>` alone. With
`thinking: true` the dataset's column of that name goes before it. A column `target` is imitated in
place of the solution: the tabletop has one, on the demo's own grid of coordinates. The prompt is
the profile's.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from segzero.reasoning.answers import format_answer
from segzero.terminal import escape_unprintable
from segzero_train.errors import BadData, BadRecipe
from segzero_train.recipe import SftOptions

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTConfig

    from segzero_train.training.preprocessing import ModelSpace
    from segzero_train.training.trainer import SegZeroSFTTrainer


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    from segzero_train.training.launching import run_training

    return run_training(SftOptions, "SFTConfig", build_trainer, arguments)


def build_trainer(options: SftOptions, config: "SFTConfig") -> "SegZeroSFTTrainer":
    """TRL's trainer on the recipe's rows, with the loss on the completions only.

    Args:
        options: The recipe's own keys.
        config: Those of TRL; set to keep all columns and to score completions only.

    Returns:
        A trainer that is ready to train.

    Raises:
        SegZeroError: Something that it was given can't be used; raised before any training.
    """
    from transformers import AutoProcessor

    from segzero.pretrained import load_pretrained
    from segzero_train.datasets.mixing import load_training, training_source
    from segzero_train.training import preflight
    from segzero_train.training.model import base_profile, lora, prepare_model
    from segzero_train.training.model_card import record_run
    from segzero_train.training.precision import fit_precision
    from segzero_train.training.preprocessing import model_space, training_space
    from segzero_train.training.run_record import DataRecord, fingerprint
    from segzero_train.training.trainer import SegZeroSFTTrainer

    if config.max_length is not None:
        raise BadRecipe(
            f"max_length: {config.max_length} would cut answers off: write `max_length: null`; "
            f"max_prompt_length leaves long rows out"
        )
    config.remove_unused_columns = False  # examples are made of other columns when they are read
    config.completion_only_loss = True
    preflight.check_machine(options, config)
    fit_precision(config)
    profile = base_profile(options)
    with config.main_process_first():
        found = load_training(options, config.seed)
    preflight.check_style(found, profile)
    folder, _ = preflight.check_weights(profile)
    processor = load_pretrained(AutoProcessor, folder)
    once = partial(preflight.computed_once, config=config)
    space = training_space(model_space(profile, processor), options.training_prompt)
    rows = example_rows(found, space, processor, options, once)
    try:
        trainer = SegZeroSFTTrainer(
            model=str(folder),
            args=config,
            train_dataset=rows,
            processing_class=processor,
            peft_config=lora(options),
        )
    except ValueError as error:  # options that exclude each other or don't go with images
        raise BadRecipe(f"the recipe can't be used: {error}") from error
    prepare_model(trainer, freeze_vision=options.freeze_vision)
    record = DataRecord(
        training_source(options), options.dataset_split, len(found), fingerprint(found)
    )
    record_run(trainer, "supervised fine-tuning", profile, [record])
    return trainer


def example_rows(
    dataset: "Dataset",
    space: "ModelSpace",
    processor: Any,
    options: SftOptions,
    once: Callable[[Callable[[], list[int]]], list[int]] = lambda check: check(),
) -> "Dataset":
    """The dataset with every row made an `example` when it is read.

    Args:
        dataset: In the columns of `segzero_train.datasets.columns`.
        space: What the trained model reads and writes.
        processor: The model's, of transformers.
        options: The recipe; its `thinking` and `max_prompt_length` count.
        once: As for `training_rows`.

    Returns:
        A dataset with a transform.

    Raises:
        BadData: Some rows can't be used, which the message names. Every row is tried first.
    """
    from segzero_train.training.preprocessing import training_rows

    if options.thinking:
        _check_thinking(dataset)
    rows = training_rows(dataset, space, processor, options.max_prompt_length, once)
    return rows.with_transform(partial(_examples, space=space, thinking=options.thinking))


def example(row: Mapping[str, Any], space: "ModelSpace", thinking: bool) -> dict[str, Any]:
    """Make one row an example to imitate.

    Args:
        row: In the columns of `segzero_train.datasets.columns`.
        space: What the trained model reads and writes.
        thinking: Whether the row's `thinking` goes before the answer.

    Returns:
        `image` (PIL, squashed), `prompt` and `completion` (messages), with coordinates in the
        model's units.

    Raises:
        BadData: The row can't be used; the message names it.
    """
    from segzero_train.datasets.solutions import parse_solution
    from segzero_train.training.preprocessing import training_row

    made = training_row(row, space)
    text = format_answer(
        made["thinking"] if thinking else "",
        parse_solution(made.get("target", made["solution"])),
        space.completion_format.answer_format,
    )
    if not thinking:
        text = text.partition("</think>")[2]
    return {
        "image": made["image"],
        "prompt": made["prompt"],
        "completion": [{"role": "assistant", "content": text}],
    }


def _examples(
    batch: Mapping[str, Sequence[Any]], space: "ModelSpace", thinking: bool
) -> dict[str, list[Any]]:
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    made = [example(row, space, thinking) for row in rows]
    return {key: [item[key] for item in made] for key in made[0]}


def _check_thinking(dataset: "Dataset") -> None:
    if "thinking" not in dataset.column_names:
        raise BadData("the dataset has no column `thinking`: set `thinking: false`")
    names = dataset["id"] if "id" in dataset.column_names else range(len(dataset))
    for name, text in zip(names, dataset["thinking"], strict=True):
        try:
            if not (isinstance(text, str) and text.strip()):
                raise ValueError("it is empty")
            format_answer(text, (), "vision_reasoner")
        except ValueError as error:
            raise BadData(
                f"row {name}: the thinking can't be imitated: {error}. Mend or remove the row, or "
                f"set `thinking: false`"
            ) from error


if __name__ == "__main__":
    sys.exit(main())
