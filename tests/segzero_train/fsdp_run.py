"""The training command under FSDP2 on the CPU, which accelerate knows on accelerators alone."""

import sys

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from segzero_train.grpo import main

torch.set_num_threads(1)
state = PartialState(backend="gloo")
shared = PartialState._shared_state
shared |= {"distributed_type": DistributedType.MULTI_GPU, "device": torch.device("cpu")}
sys.exit(main([*sys.argv[1:], "--accelerator_config", '{"use_configured_state": true}']))
