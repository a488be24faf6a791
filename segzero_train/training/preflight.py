"""What can be checked before weights are loaded, which takes minutes and gigabytes."""

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from accelerate.utils import broadcast_object_list
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from segzero.errors import SegZeroError
from segzero.profiles import Profile
from segzero.reasoning.answers import LAYOUTS
from segzero.weights import resolve_weights
from segzero_train.datasets.columns import row_objects
from segzero_train.errors import BadData, BadRecipe
from segzero_train.recipe import GrpoOptions, TaskOptions
from segzero_train.rewards import READ_FORMATS

if TYPE_CHECKING:
    from datasets import Dataset

Result = TypeVar("Result")

_FOR_FORMAT = {
    "seg_zero": "seg_zero_7b or seg_zero_3b",
    "vision_reasoner": "vision_reasoner_7b or own_7b_lora",
}
"""Recipes by the answer format of their profile."""
_UNTHINKING = "_no_thinking"


def check_machine(options: TaskOptions, config: Any) -> None:
    """Check packages and files that a run needs, before anything else is done.

    Args:
        options: The recipe's own keys.
        config: Those of a trainer of transformers.

    Raises:
        BadRecipe: A package isn't installed, a checkpoint to resume from isn't there, or nothing
            can be written to the output folder.
    """
    _check_trackers(config.report_to)
    attention = str((config.model_init_kwargs or {}).get("attn_implementation", ""))
    needed = {
        "peft": options.lora_rank > 0 and "lora_rank",
        "vllm": getattr(config, "use_vllm", False) and "use_vllm",
        "liger_kernel": getattr(config, "use_liger_kernel", False) and "use_liger_kernel",
        "deepspeed": config.deepspeed and "deepspeed",
        "flash_attn": attention == "flash_attention_2" and f"attn_implementation: {attention}",
    }
    for package, key in needed.items():
        if key and importlib.util.find_spec(package) is None:
            raise BadRecipe(f"{key} needs the package {package}, which isn't installed here")
    resumed = config.resume_from_checkpoint
    if resumed and not (Path(resumed) / "trainer_state.json").is_file():
        raise BadRecipe(
            f"resume_from_checkpoint: {resumed} is no whole checkpoint: leave the key out, and the "
            f"newest one of output_dir is taken"
        )
    _check_writable(Path(config.output_dir))


def check_weights(profile: Profile) -> tuple[Path, Path]:
    """The folders of reasoner and segmenter; raises CheckpointError unless both are whole."""
    # Not by the profile's name in errors: the recipe may start from other weights.
    return resolve_weights(profile.reasoner), resolve_weights(profile.segmenter)


def check_style(dataset: "Dataset", profile: Profile) -> None:
    """Check that the solutions are in the style that the profile's model writes.

    Args:
        dataset: Has the column `solution`.
        profile: The profile of the trained model.

    Raises:
        BadData: It writes one object with two points, and a solution holds something else. The
            message names what fits.
    """
    if LAYOUTS[profile.answer_format].keys != "seg_zero" or "solution" not in dataset.column_names:
        return
    found = [_is_single(text) for text in dataset["solution"]]
    if all(found):
        return
    raise BadData(
        f"{found.count(False)} of {len(found)} solutions are in the style vision_reasoner, but the "
        f"profile {profile.name} answers with one object and two points: prepare the dataset with "
        f"--style seg_zero, or take a recipe for vision_reasoner, such as "
        f"{_FOR_FORMAT['vision_reasoner']}"
    )


def check_has_masks(dataset: "Dataset", needed_by: str, remedy: str) -> None:
    """Raise BadData unless the dataset has a column `mask`."""
    if "mask" not in dataset.column_names:
        raise BadData(
            f"{needed_by} needs masks, and the dataset has only the columns "
            f"{', '.join(dataset.column_names)}: prepare it with this project's command, or "
            f"{remedy}"
        )


def check_rewards_fit(specs: Sequence[str], profile: Profile, training_prompt: str = "") -> None:
    """Check that sets of rewards read the answers that the profile's model writes.

    Args:
        specs: `NAME` or `NAME=WEIGHT`.
        profile: The profile of the trained model.
        training_prompt: As in the recipe; empty for the profile's.

    Raises:
        BadRecipe: A set is for another answer format, and would pay nothing, ever; or it pays for
            thinking that the prompt doesn't ask for, or the other way round.
    """
    prompt = training_prompt or profile.prompt
    for spec in specs:
        name = spec.partition("=")[0].strip()
        if (read := READ_FORMATS.get(name.removeprefix("ranked.").partition(".")[0])) is None:
            continue
        if read != profile.answer_format:
            fitting = [key for key, form in READ_FORMATS.items() if form == profile.answer_format]
            raise BadRecipe(
                f"the rewards {name} read answers in the format {read}, but the profile "
                f"{profile.name} writes {profile.answer_format}: take rewards for "
                f"{profile.answer_format} ({', '.join(fitting)}), or {_other_profile(read)}"
            )
        if (_UNTHINKING in name) != prompt.endswith(_UNTHINKING):
            raise BadRecipe(
                f"the rewards {name} and the prompt {prompt} disagree on whether the model thinks: "
                f"take both with {_UNTHINKING}, or both without"
            )


def check_groups(options: GrpoOptions, config: Any) -> None:
    """Check what ranked rewards and `kept_generations` need of a rollout.

    Args:
        options: The recipe's own keys.
        config: TRL's.

    Raises:
        BadRecipe: A question's completions would lie on several processes, or those that are kept
            can't be shared by the micro-batches.
    """
    samples, kept = config.num_generations, options.kept_generations
    ranks = any(spec.strip().startswith("ranked.") for spec in options.rewards)
    each = config.per_device_train_batch_size * config.steps_per_generation
    if each % samples and (ranks or kept):
        raise BadRecipe(
            f"{'ranked rewards need' if ranks else 'kept_generations needs'} all {samples} "
            f"completions of a question on one process, and each process has {each} a rollout: "
            f"take a prompts_per_step that is a multiple of the number of processes"
        )
    if kept and not 2 <= kept <= samples:
        raise BadRecipe(f"kept_generations must be 0 or from 2 to {samples}, not {kept}")
    if kept and config.per_device_train_batch_size * kept % samples:
        raise BadRecipe(
            f"kept_generations: {kept} of {samples} leaves no whole number of a micro-batch's "
            f"{config.per_device_train_batch_size} completions: take a "
            f"per_device_train_batch_size that is a multiple of {samples // gcd(kept, samples)}"
        )


def computed_once(compute: Callable[[], Result], config: Any) -> Result:
    """Compute something on the first process of a run, for all of them.

    Args:
        compute: What takes long; may raise a SegZeroError.
        config: Of a trainer of transformers.

    Returns:
        The same on every process.

    Raises:
        SegZeroError: As `compute` raised it, on every process.
    """
    if config.world_size == 1:
        return compute()
    outcome: list[Any] = [None, None]
    if config.process_index == 0:
        try:
            outcome[0] = compute()
        except SegZeroError as error:
            outcome[1] = error
    result, failure = broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    return result


def _other_profile(answer_format: str) -> str:
    if answer_format in _FOR_FORMAT:
        return f"begin with the recipe {_FOR_FORMAT[answer_format]}"
    return f"a profile with answer_format: {answer_format}"


def _check_trackers(names: Sequence[str]) -> None:
    for name in names:
        if name in ("none", "all"):
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            known = sorted(INTEGRATION_TO_CALLBACK)
            nearest = get_close_matches(name, known, 1)
            hint = f" (did you mean {nearest[0]}?)" if nearest else ""
            raise BadRecipe(f"report_to: there is no {name}{hint}; there are {', '.join(known)}")
        if name not in {*get_available_reporting_integrations(), "flyte"}:
            raise BadRecipe(
                f"report_to: {name} needs its package, which isn't installed here: install it with "
                f"pip, or take --report_to tensorboard"
            )


def _check_writable(folder: Path) -> None:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise BadRecipe(
            f"output_dir: {folder} can't be written ({there}: {error.strerror}): choose another"
        ) from error


def _is_single(solution: str) -> bool:
    try:
        objects = row_objects({"solution": solution})
    except BadData:
        return True  # the check of the rows says what is wrong with it
    return len(objects) == 1 and len(objects[0].points) == 2
