"""What `accelerate launch` leaves open on a machine without a GPU."""

import os
import sys
from collections.abc import Sequence

import torch

_STATE = "--accelerator_config"


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
