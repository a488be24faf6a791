"""`python -m segzero_train.grpo --config RECIPE [--key value …]`: train by GRPO.

RECIPE is the name of a shipped recipe, which `--list` lists, or a file. The same command goes on
with a run that was interrupted. Launched by `accelerate launch`, it trains on many GPUs, under
DeepSpeed if the launch configuration says so.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from segzero.terminal import escape_unprintable
from segzero_train.recipe import GrpoOptions

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import GRPOConfig

    from segzero.profiles import Profile
    from segzero.segmentation.segmenter import Segmenter
    from segzero_train.rewards import RewardContext
    from segzero_train.training.run_record import DataRecord
    from segzero_train.training.trainer import SegZeroGRPOTrainer


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    from segzero_train.training.launching import run_training

    return run_training(GrpoOptions, "GRPOConfig", build_trainer, arguments)


def build_trainer(options: GrpoOptions, config: "GRPOConfig") -> "SegZeroGRPOTrainer":
    """The trainer with everything that the recipe asks for.

    Args:
        options: The recipe's own keys.
        config: Those of TRL; its `reward_weights` are set, and its types fit the processor.

    Returns:
        A trainer that is ready to train.

    Raises:
        SegZeroError: Something that it was given can't be used; raised before any training.
    """
    from transformers import AutoProcessor

    from segzero.pretrained import load_pretrained
    from segzero_train.errors import BadRecipe
    from segzero_train.rewards import build_rewards, check_rewards
    from segzero_train.training import preflight
    from segzero_train.training.completions_callback import with_solutions
    from segzero_train.training.model import base_profile, lora, prepare_model
    from segzero_train.training.model_card import record_run
    from segzero_train.training.precision import fit_precision
    from segzero_train.training.preprocessing import model_space, training_rows, training_space
    from segzero_train.training.trainer import SegZeroGRPOTrainer
    from segzero_train.training.vllm_prompts import check_prompt_ids, require_server

    # All that can be checked comes before weights are loaded, and what takes longest last.
    if not options.rewards:
        raise BadRecipe("the recipe names no rewards, such as `rewards: [vision_reasoner]`")
    require_server(config)
    preflight.check_machine(options, config)
    fit_precision(config)
    profile = base_profile(options)
    check_rewards(options.rewards, _reward_context(options, config, profile))
    preflight.check_rewards_fit(options.rewards, profile, options.training_prompt)
    preflight.check_groups(options, config)
    with config.main_process_first():
        found = _load(options, config.seed)
    for dataset in found:
        preflight.check_style(dataset, profile)
    folder, _ = preflight.check_weights(profile)
    processor = load_pretrained(AutoProcessor, folder, padding_side="left")
    space = model_space(profile, processor)
    once = partial(preflight.computed_once, config=config)
    spaces = [training_space(space, options.training_prompt), space]
    train_rows, *held_out = (
        training_rows(dataset, asked, processor, options.max_prompt_length, once)
        for dataset, asked in zip(found, spaces, strict=False)
    )
    context = replace(
        _reward_context(options, config, profile),
        model_size=space.size,
        segmenter=_segmenter(options, config, profile),
    )
    functions, config.reward_weights = build_rewards(options.rewards, context)
    functions[0] = with_solutions(functions[0])
    trainer = SegZeroGRPOTrainer(
        model=str(folder),
        reward_funcs=cast(Any, functions),
        args=config,
        train_dataset=train_rows,
        processing_class=processor,
        peft_config=lora(options),
    )
    trainer.kl_limit = options.kl_limit
    trainer.kept_generations = options.kept_generations
    prepare_model(trainer, freeze_vision=options.freeze_vision)
    record_run(trainer, "GRPO", profile, _records(options, found))
    _add_callbacks(trainer, options, context, profile, *held_out)
    if config.use_vllm:
        check_prompt_ids(trainer, train_rows[0])
    return trainer


def _load(options: GrpoOptions, seed: int) -> "list[Dataset]":
    """The rows to train on and, if the recipe wants any, those held out, not yet checked."""
    from segzero_train.datasets.loading import load_rows
    from segzero_train.datasets.mixing import load_training
    from segzero_train.rewards import needs_masks
    from segzero_train.training.preflight import check_has_masks

    found = [load_training(options, seed)]
    if drawing := next(filter(needs_masks, options.rewards), ""):
        check_has_masks(found[0], f"the reward {drawing}", "leave this reward out")
    if options.held_out_size:
        source = options.held_out or options.dataset
        found.append(load_rows(source, options.held_out_split, options.held_out_size))
        check_has_masks(found[1], "the greedy evaluation of held_out", "set held_out_size to 0")
    return found


def _records(options: GrpoOptions, found: "list[Dataset]") -> "list[DataRecord]":
    from segzero_train.datasets.mixing import training_source
    from segzero_train.training.run_record import DataRecord, fingerprint

    sources = [
        (training_source(options), options.dataset_split),
        (options.held_out or options.dataset, options.held_out_split),
    ]
    return [
        DataRecord(source, split, len(rows), fingerprint(rows))
        for (source, split), rows in zip(sources, found, strict=False)
    ]


def _reward_context(
    options: GrpoOptions, config: "GRPOConfig", profile: "Profile"
) -> "RewardContext":
    """What rewards must know that the recipe says; image size and segmenter come later."""
    from segzero_train.rewards import RewardContext

    return RewardContext(
        (1, 1),
        profile.completion_format,
        thinking_words=options.thinking_words,
        max_completion_length=config.max_completion_length or 0,
        overlong_tokens=options.overlong_tokens,
    )


def _segmenter(
    options: GrpoOptions, config: "GRPOConfig", profile: "Profile"
) -> "Segmenter | None":
    """For rewards and the greedy evaluation; None where nothing needs one."""
    from segzero.loading import load_segmenter
    from segzero_train.rewards import needs_masks
    from segzero_train.training.model import without_zero3_init

    if not options.held_out_size and not any(map(needs_masks, options.rewards)):
        return None
    with without_zero3_init(config):
        return load_segmenter(profile, config.device)


def _add_callbacks(
    trainer: "SegZeroGRPOTrainer",
    options: GrpoOptions,
    context: "RewardContext",
    profile: "Profile",
    held_out: "Dataset | None" = None,
) -> None:
    from segzero_train.training.completions_callback import SampledCompletions
    from segzero_train.training.eval_callback import GreedyEvaluation

    if options.samples_every:
        trainer.add_callback(
            SampledCompletions(
                trainer, context, options.training_prompt or profile.prompt, options.samples_every
            )
        )
    if held_out is not None:
        evaluation = GreedyEvaluation(
            trainer,
            held_out,
            context,
            every=options.held_out_every,
            batch=options.held_out_batch,
            max_new_tokens=profile.max_new_tokens,
            samples=options.held_out_samples,
        )
        trainer.add_callback(evaluation)


if __name__ == "__main__":
    sys.exit(main())
