"""A GRPO run under DeepSpeed, one process of it: `zero_run.py FACTS.json --key value …`.

Each process writes what it has seen to `FACTS-<rank>.json`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import deepspeed
import torch
from accelerate import PartialState
from trl import GRPOConfig

from segzero_train.grpo import build_trainer
from segzero_train.recipe import GrpoOptions, read_recipe

# Gloo does without this extension, which would take a compiler minutes to build.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def digests(model: Any) -> dict[str, str]:
    """A digest of every whole parameter, by name."""
    found = {}
    for name, parameter in model.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter]):
            found[name] = hashlib.sha256(parameter.detach().cpu().numpy().tobytes()).hexdigest()
    return found


def main() -> None:
    facts, *words = sys.argv[1:]
    torch.set_num_threads(1)
    # Left to itself, accelerate knows no backend for DeepSpeed on a CPU and sees one process.
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(backend="gloo")
    trainer = build_trainer(*read_recipe((GrpoOptions, GRPOConfig), words))
    model: Any = trainer.model
    before = digests(model)
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    engine: Any = trainer.model_wrapped
    rank = trainer.accelerator.process_index
    seen = {
        "engine": type(engine).__name__,
        "stage": engine.zero_optimization_stage(),
        "optimizer": type(engine.optimizer).__name__,
        "steps": engine.global_steps,
        "processes": trainer.accelerator.num_processes,
        "split": any(hasattr(value, "ds_id") for value in model.parameters()),
        "before": before,
        "after": digests(model),
    }
    Path(f"{facts}-{rank}.json").write_text(json.dumps(seen))


main()
