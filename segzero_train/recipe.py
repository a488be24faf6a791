"""Recipes: YAML files whose keys are dataclass fields, each of which `--key value` overrides.

A recipe joins this project's fields, below, with those of TRL's own configuration (`GRPOConfig`,
`SFTConfig`), under their own names.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from segzero.files import read_mapping
from segzero_train.accumulation import accumulation_words
from segzero_train.datasets.mixing import read_weights
from segzero_train.errors import BadRecipe
from segzero_train.shipped import Kind, find, listing


def _option(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass
class TaskOptions:
    """What is trained on what; shared by all recipes.

    Attributes:
        kind: The folder of the shipped recipes of this class.
    """

    kind: ClassVar[Kind]
    profile: str = _option(
        "", "Profile (a name or a YAML file): prompt, answer format, coordinates, segmenter."
    )
    weights: str = _option("", "Folder or Hub name to start from; the profile's own if empty.")
    training_prompt: str = _option(
        "", "Prompt to train with, where it isn't the profile's; a key of segzero's prompts."
    )
    dataset: str = _option("tabletop", "`tabletop`, a prepared folder, or a Hub name.")
    datasets: str = _option(
        "",
        "In place of `dataset`: several with weights, `{NAME: WEIGHT, …}`, mixed by `seed`; on a "
        "command line as JSON.",
    )
    dataset_split: str = _option("train", "Split to train on.")
    dataset_size: int | None = _option(None, "Train on this many rows from its start.")
    max_prompt_length: int = _option(
        1300, "Rows whose prompt has more tokens, image included, are left out and counted."
    )
    prompts_per_step: int = _option(
        0,
        "Prompts (in sft, rows) of an optimizer step, over all processes; "
        "gradient_accumulation_steps follows from it. 0: from that key.",
    )
    time_limit: str = _option(
        "",
        "From the start of the command, `HH:MM` or `D-HH:MM`: before it is up, a checkpoint is "
        "written and the run ends. Empty: under Slurm, the end of the job.",
    )
    freeze_vision: bool = _option(False, "Keep the vision tower as it is.")
    lora_rank: int = _option(0, "Train LoRA adapters of this rank on the language model; 0: all.")
    lora_alpha: int = _option(64, "LoRA's scale.")


@dataclass
class GrpoOptions(TaskOptions):
    """What GRPO rewards, and how it is watched."""

    kind = "grpo"
    rewards: list[str] = field(
        default_factory=list,
        metadata={"help": "Rewards or sets of them, each `name` or `name=weight`."},
    )
    kl_limit: float = _option(
        0.0, "The KL estimate of a token is at most this, as in the authors' code; 0: no limit."
    )
    kept_generations: int = _option(
        0, "Of num_generations, the best and the worst that a step trains on, as StAR; 0: all."
    )
    thinking_words: int = _option(100, "For `short_thinking`: thoughts up to here are paid whole.")
    overlong_tokens: int = _option(
        400, "For `overlong`: from this many tokens before max_completion_length on, it costs."
    )
    held_out: str = _option("", "Dataset of the greedy evaluation; as `dataset` if empty.")
    held_out_split: str = _option("val", "Split of the greedy evaluation.")
    held_out_size: int = _option(300, "Questions of the greedy evaluation; 0: none.")
    held_out_batch: int = _option(32, "Questions that it answers at a time.")
    held_out_every: int = _option(50, "Steps between greedy evaluations; the best one is kept.")
    held_out_samples: int = _option(
        8,
        "Samples of the first 32 of these questions at the training temperature, for pass@k and "
        "the share that teaches nothing; 0: none.",
    )
    samples_every: int = _option(50, "Steps between tables of sampled completions; 0: none.")


@dataclass
class SftOptions(TaskOptions):
    """What the supervised baseline imitates."""

    kind = "sft"
    thinking: bool = _option(
        False, "Imitate the dataset's `thinking` column too, not only the answer."
    )


def read_recipe(types: Sequence[Any], arguments: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Read a recipe and what the command line overrides.

    `--list` prints the shipped recipes and exits. A `--profile` of the command line also replaces
    the recipe's `weights`, unless it names some too, and a `--dataset` its `datasets`.
    `prompts_per_step` becomes the accumulation that it takes on the processes of this run.

    Args:
        types: Dataclasses whose fields are the keys; the first is a TaskOptions.
        arguments: `--config NAME_OR_FILE`, `--key value`; the command line's by default.

    Returns:
        One instance of each dataclass.

    Raises:
        BadRecipe: The file can't be read, or holds an unknown key or an impossible value.
    """
    from trl import TrlParser

    words = _split(sys.argv[1:] if arguments is None else arguments)
    if "--list" in words:
        print(listing(types[0].kind))
        sys.exit(0)
    parser = TrlParser(types, allow_abbrev=False)
    # argparse's own way would print all 200 options before what is wrong.
    parser.error = _refuse  # type: ignore[method-assign]
    known = {action.dest for action in parser._actions}
    content: dict[str, Any] = {}
    if "--config" in words:
        position = words.index("--config") + 1
        if position == len(words):
            raise BadRecipe("--config needs a recipe's name or file")
        path = find(types[0].kind, words[position])
        content = _read(path, known)
        words[position] = str(path)
    _check_words(words, [word for action in parser._actions for word in action.option_strings])
    if "--profile" in words and "--weights" not in words and content.get("weights"):
        words += ["--weights", ""]
    if "--dataset" in words and "--datasets" not in words and content.get("datasets"):
        words += ["--datasets", ""]
    words += accumulation_words(types, content, words)
    try:
        recipe = parser.parse_args_and_config(words)
    except (ValueError, TypeError) as error:
        raise BadRecipe(_reason(error)) from error
    if not recipe[0].profile:
        raise BadRecipe("the recipe names no profile: add `profile: …`, or begin with --config")
    _check_mixture(recipe[0])
    return recipe


def _check_mixture(options: TaskOptions) -> None:
    if not read_weights(options.datasets):
        return
    if options.dataset != TaskOptions.dataset:
        raise BadRecipe("the recipe has `dataset` and `datasets`: leave one out")
    if getattr(options, "held_out_size", 0) and not getattr(options, "held_out", ""):
        raise BadRecipe(
            "with `datasets`, name the questions of the greedy evaluation as `held_out`, or set "
            "held_out_size to 0"
        )


def _split(arguments: Sequence[str]) -> list[str]:
    """`--some-key=value` as two words, `--some_key` and `value`."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("--"):
            key, equals, value = word.partition("=")
            words += [key.replace("-", "_").replace("__", "--", 1)] + [value] * bool(equals)
        else:
            words.append(word)
    return words


def _refuse(message: str) -> NoReturn:
    raise BadRecipe(f"the recipe can't be used: {message}")


def _reason(error: Exception) -> str:
    if "support bf16" in str(error):
        return (
            "bf16: true needs a GPU that computes in bfloat16, and there is none here: train where "
            "one is, or add --bf16 false --use_cpu true; `--config demo` trains on a CPU"
        )
    return f"the recipe can't be used: {error}"


def _check_words(words: Sequence[str], known: Sequence[str]) -> None:
    """Raise BadRecipe if the command line has an unknown option."""
    options = {word for word in words if word.startswith("--")}
    if unknown := sorted(options - {*known, "--config"}):
        named = ", ".join(_with_nearest(key, known) for key in unknown)
        raise BadRecipe(
            f"the command line has unknown options: {named}; --help lists what there is"
        )


def _read(path: Path, known: set[str]) -> dict[str, Any]:
    """The file's content; raises BadRecipe unless it is a mapping of known keys."""
    content = read_mapping(path, "recipe", BadRecipe)
    if unknown := sorted(str(key) for key in content if key not in known | {"env"}):
        named = ", ".join(_with_nearest(key, known) for key in unknown)
        raise BadRecipe(f"the recipe {path} has unknown keys: {named}; --help lists what there is")
    return content


def _with_nearest(key: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(key, list(known), 1)
    return f"{key} (did you mean {nearest[0]}?)" if nearest else key
