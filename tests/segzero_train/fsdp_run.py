"""The training command under FSDP2 on the CPU, which accelerate knows on accelerators alone.

The first word is a folder: each process writes its first step to `first-<rank>.pt` in it.
"""

import sys
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from segzero_train import grpo
from tests.segzero_train.gradients import FirstStep

torch.set_num_threads(1)
state = PartialState(backend="gloo")
shared = PartialState._shared_state
shared |= {"distributed_type": DistributedType.MULTI_GPU, "device": torch.device("cpu")}
build_trainer = grpo.build_trainer


def watched(*recipe: Any) -> Any:
    """The command's trainer; its first step is written down."""
    trainer = build_trainer(*recipe)
    FirstStep(trainer, Path(sys.argv[1]) / f"first-{state.process_index}.pt")
    return trainer


grpo.build_trainer = cast(Any, watched)
words = [*sys.argv[2:], "--accelerator_config", '{"use_configured_state": true}']
sys.exit(grpo.main(words))
