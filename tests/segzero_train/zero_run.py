"""GRPO runs under DeepSpeed, one after the other: `zero_run.py FACTS --key value … [-- FACTS …]`.

Each of the two processes of a run writes what it has seen to `FACTS-<rank>.json`, and its first
step to `FACTS-<rank>.pt`. They are forks of this one, because the imports take longer than a run.
"""

import hashlib
import json
import multiprocessing
import os
import socket
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import deepspeed
import torch
from accelerate import PartialState
from trl import GRPOConfig

from segzero_train.grpo import build_trainer
from segzero_train.recipe import GrpoOptions, read_recipe
from tests.segzero_train.gradients import FirstStep

# Gloo does without this extension, which would take a compiler minutes to build.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def digests(model: Any) -> dict[str, str]:
    """A digest of every whole parameter, by name."""
    found = {}
    for name, parameter in model.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter]):
            # Through float32, which NumPy knows.
            found[name] = hashlib.sha256(parameter.detach().float().numpy().tobytes()).hexdigest()
    return found


def main() -> int:
    """Start the runs; returns 1 as soon as a process fails."""
    fork = multiprocessing.get_context("fork")
    for separates, words in groupby(sys.argv[1:], "--".__eq__):
        if separates:
            continue
        facts, *recipe = words
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        processes = [fork.Process(target=run, args=(facts, recipe, rank, port)) for rank in (0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            return 1
    return 0


def run(facts: str, words: list[str], rank: int, port: int) -> None:
    """One process of a run, with the variables that torchrun sets."""
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in (ranks | address).items()}
    torch.set_num_threads(1)
    # Left to itself, accelerate knows no backend for DeepSpeed on a CPU and sees one process.
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(backend="gloo")
    options, config = read_recipe((GrpoOptions, GRPOConfig), words)
    trainer = build_trainer(options, config)
    model: Any = trainer.model
    before = digests(model)
    FirstStep(trainer, Path(f"{facts}-{rank}.pt"))
    trainer.train(resume_from_checkpoint=config.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_state()
    engine: Any = trainer.model_wrapped
    seen = {
        "engine": type(engine).__name__,
        "stage": engine.zero_optimization_stage(),
        "optimizer": type(engine.optimizer).__name__,
        "bfloat16": engine.bfloat16_enabled(),
        "steps": engine.global_steps,
        "processes": trainer.accelerator.num_processes,
        "split": any(hasattr(value, "ds_id") for value in model.parameters()),
        "before": before,
        "after": digests(model),
    }
    Path(f"{facts}-{rank}.json").write_text(json.dumps(seen))


sys.exit(main())
