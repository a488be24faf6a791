"""`python -m segzero_train.grpo --config config/grpo/RECIPE.yaml [--key value …]`: train by GRPO.

The same command goes on with a run that was interrupted. Launched by `accelerate launch`, it
trains on many GPUs, under DeepSpeed if the launch configuration says so.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segzero_train.recipe import GrpoOptions, read_recipe

if TYPE_CHECKING:
    from trl import GRPOConfig, GRPOTrainer


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    from segzero_train.training.checkpointing import reported, train_to_end

    # TRL counts its users over the network; a training server needn't be counted.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from trl import GRPOConfig

    with reported() as outcome:
        options, config = read_recipe((GrpoOptions, GRPOConfig), arguments)
        outcome.folder = Path(str(config.output_dir))
        trainer = build_trainer(options, config)
        outcome.stopped = train_to_end(trainer, (options, config))
    return outcome.status


def build_trainer(options: GrpoOptions, config: "GRPOConfig") -> "GRPOTrainer":
    """TRL's trainer with everything that the recipe asks for.

    Raises SegZeroError before any work if something that it was given can't be used.
    """
    from transformers import AutoProcessor
    from trl import GRPOTrainer

    from segzero.loading import load_segmenter
    from segzero.weights import load_pretrained, resolve_weights
    from segzero_train.datasets.loading import load_rows
    from segzero_train.errors import BadRecipe
    from segzero_train.rewards import RewardContext, build_rewards
    from segzero_train.training.completions_callback import SampledCompletions
    from segzero_train.training.eval_callback import GreedyEvaluation
    from segzero_train.training.generation import shared_prefill
    from segzero_train.training.logprobs import bucketed_logprobs
    from segzero_train.training.model import (
        base_profile,
        freeze,
        lora,
        needs_synced_generation,
        preserve_state_dict_keys,
        require_fp32_updates,
        without_zero3_init,
    )
    from segzero_train.training.preprocessing import model_space, training_rows
    from segzero_train.training.vllm_prompts import check_prompt_ids, require_server

    if not options.rewards:
        raise BadRecipe("the recipe names no rewards, such as `rewards: [vision_reasoner]`")
    require_server(config)
    profile = base_profile(options)
    folder = resolve_weights(profile.reasoner, profile.name)
    processor = load_pretrained(AutoProcessor, folder, padding_side="left")
    space = model_space(profile, processor)
    with config.main_process_first():
        rows = training_rows(
            load_rows(options.dataset, options.dataset_split, options.dataset_size),
            space,
            processor,
            options.max_prompt_length,
        )
    segmenter = None
    if options.held_out_size or any(spec.startswith("mask_iou") for spec in options.rewards):
        with without_zero3_init(config):
            segmenter = load_segmenter(profile, config.device)
    context = RewardContext(
        model_size=space.size,
        coordinates=space.coordinates,
        rounding=space.rounding,
        answer_format=space.answer_format,
        segmenter=segmenter,
        thinking_words=options.thinking_words,
    )
    functions, weights = build_rewards(options.rewards, context)
    config.reward_weights = weights
    trainer = GRPOTrainer(
        model=str(folder),
        reward_funcs=cast(Any, functions),
        args=config,
        train_dataset=rows,
        processing_class=processor,
        peft_config=lora(options) if options.lora_rank else None,
    )
    freeze(trainer.model, vision=options.freeze_vision)
    require_fp32_updates(trainer)
    preserve_state_dict_keys(trainer.model)
    trained: Any = trainer.model
    trained = trained.get_base_model() if options.lora_rank else trained
    bucketed_logprobs(trained)
    if trainer.ref_model is not None:
        bucketed_logprobs(trainer.accelerator.unwrap_model(trainer.ref_model))
    if not needs_synced_generation(trainer):
        shared_prefill(trained)
    if options.samples_every:
        trainer.add_callback(
            SampledCompletions(trainer, context, space.prompt, options.samples_every)
        )
    if options.held_out_size:
        held_out = load_rows(
            options.held_out or options.dataset, options.held_out_split, options.held_out_size
        )
        trainer.add_callback(
            GreedyEvaluation(
                trainer,
                training_rows(held_out, space, processor, options.max_prompt_length),
                context,
                every=options.held_out_every,
                batch=options.held_out_batch,
            )
        )
    if config.use_vllm:
        check_prompt_ids(trainer, rows[0])
    return trainer


if __name__ == "__main__":
    sys.exit(main())
