"""Small GRPO runs on the CPU: rows, profiles and recipes that take seconds."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzero.profiles import load_profile
from segzero_train.recipe import GrpoOptions, read_recipe

if TYPE_CHECKING:
    from trl import GRPOConfig

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "dataset_size": 4,
    "held_out_size": 0,
    "held_out_samples": 0,
    "samples_every": 0,
    "rewards": "vision_reasoner",
    "max_steps": 1,
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "max_completion_length": 160,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "beta": 0.0,
    "loss_type": "grpo",
    "bf16": False,
    "gradient_checkpointing": False,
    "model_init_kwargs": '{"attn_implementation": "eager"}',
    "logging_steps": 1,
    "report_to": "none",
    "save_strategy": "no",
    "use_cpu": True,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
"""A recipe of one step with two questions, four completions each; weight decay is 0."""


def write_table(folder: Path) -> Path:
    """A dataset folder with rendered tabletops: 8 rows to train on, 4 held out."""
    from segzero_train.datasets import tabletop

    (folder / "data").mkdir()
    for split, size in (("train", 8), ("val", 4)):
        tabletop.rows(split, size).to_parquet(str(folder / "data" / f"{split}-00000.parquet"))
    return folder


def write_profile(folder: Path, family: str) -> Path:
    """A profile of a tiny `qwen2_5_vl` or `qwen3_vl` that mostly writes one and the same answer.

    Greedily it always does; at temperature 1 it strays in half of its completions.
    """
    from tests.segzero import profile_files, tiny_checkpoints

    save = {
        "qwen2_5_vl": tiny_checkpoints.save_qwen2_5_vl,
        "qwen3_vl": tiny_checkpoints.save_qwen3_vl,
    }[family]
    coordinates = {"qwen2_5_vl": "absolute_pixels", "qwen3_vl": "relative_1000"}[family]
    reasoner = save(folder / "reasoner", tiny_checkpoints.ANSWER_SCRIPT)
    return profile_files.write_profile(
        folder / "profile.yaml",
        reasoner,
        Path(load_profile("demo").segmenter),
        coordinates=coordinates,
        image_size=224,
    )


def add_noise(profile: Path, scale: float) -> Path:
    """Add small random numbers to a profile's reasoner, whose layers else add nothing."""
    import torch
    from safetensors.torch import load_file, save_file

    file = Path(load_profile(profile).reasoner) / "model.safetensors"
    dice = torch.Generator().manual_seed(7)
    weights = {
        name: value + scale * torch.randn(value.shape, generator=dice)
        for name, value in sorted(load_file(file).items())
    }
    save_file(weights, file, metadata={"format": "pt"})
    return profile


def words(profile: str | Path, table: Path, output: Path, **changes: Any) -> list[str]:
    """The command line of a small run; a value of None leaves a key of SMALL out."""
    recipe = {"profile": profile, "dataset": table, "output_dir": output, **SMALL, **changes}
    listed: list[str] = []
    for key, value in recipe.items():
        if value is not None:
            values = value if isinstance(value, list) else [value]
            listed += [f"--{key}", *map(str, values)]
    return listed


def recipe(
    profile: str | Path, table: Path, output: Path, **changes: Any
) -> tuple[GrpoOptions, "GRPOConfig"]:
    """The same, read."""
    from trl import GRPOConfig

    options, config = read_recipe(
        (GrpoOptions, GRPOConfig), words(profile, table, output, **changes)
    )
    return options, config


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """The training command as a process of its own, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "segzero_train.grpo", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def logged(run: Path) -> list[dict[str, Any]]:
    """What a run has logged, step by step."""
    return json.loads((run / "trainer_state.json").read_text())["log_history"]
