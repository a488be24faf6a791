"""The start of a training command, alone or by `accelerate launch`."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from segzero_train.recipe import TaskOptions, read_recipe
from segzero_train.shipped import find_deepspeed_file
from segzero_train.training.checkpointing import reported, train_to_end

_STATE = "--accelerator_config"


def run_training(
    options_type: type[TaskOptions],
    config_name: Literal["GRPOConfig", "SFTConfig"],
    build_trainer: Callable[[Any, Any], Any],
    arguments: Sequence[str] | None = None,
) -> int:
    """Do what a recipe and the command line say; go on with a run that was interrupted.

    Args:
        options_type: The recipe's own keys.
        config_name: TRL's class of the others.
        build_trainer: Makes the trainer of an instance of each.
        arguments: The command line's by default.

    Returns:
        The exit status.
    """
    # TRL counts its users over the network; a training server needn't be counted.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import trl

    config_type = getattr(trl, config_name)
    with reported() as outcome:
        find_deepspeed_file()
        words = join_processes(sys.argv[1:] if arguments is None else arguments)
        options, config = read_recipe((options_type, config_type), words)
        outcome.folder = Path(str(config.output_dir))
        trainer = build_trainer(options, config)
        outcome.stopped = train_to_end(trainer, (options, config))
    return outcome.status


def join_processes(words: Sequence[str]) -> list[str]:
    """Connect the processes of a launcher where accelerate names no backend for DeepSpeed.

    On a machine without a GPU, accelerate lets DeepSpeed choose. DeepSpeed then compiles a kernel
    for communication for minutes without a word, and each process takes itself for the only one.
    Gloo does without that kernel. Elsewhere nothing is changed.

    Args:
        words: The command line of a recipe.

    Returns:
        The command line for this machine.
    """
    launched = int(os.environ.get("LOCAL_RANK", "-1")) >= 0
    wanted = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"
    if not (launched and wanted) or torch.cuda.is_available():
        return list(words)
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    from accelerate import PartialState

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    state = PartialState(backend="gloo")
    if state.is_main_process:
        print(
            f"no GPU: DeepSpeed trains on the CPU, {state.num_processes} processes over gloo",
            file=sys.stderr,
        )
    state_words = [] if _STATE in words else [_STATE, '{"use_configured_state": true}']
    return [*words, *state_words]
