"""The parts of `gpu.py` that train."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gpu
import torch
from gpu_writer import Writer, free

_PAPER = {
    "num_generations": 8,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 32,
    "max_completion_length": 256,
    "bf16": True,
    "gradient_checkpointing": True,
    "model_init_kwargs": json.dumps({"dtype": "bfloat16", "attn_implementation": "sdpa"}),
}
"""16 prompts x 8 completions. Random weights never end one, hence not 1300 tokens."""


def grpo(device: torch.device, small: bool, writer: Writer) -> None:
    """A GRPO step by stage, against TRL's own trainer on the same weights, rows and seeds."""
    import train

    from segzero.profiles import resource_root

    with tempfile.TemporaryDirectory() as folder:
        if small:
            base = resource_root() / "checkpoints" / "demo" / "base" / "profile.yaml"
            changes: dict[str, Any] = {"profile": base, "per_device_train_batch_size": 8}
            changes |= {"max_completion_length": 16, "use_cpu": device.type == "cpu"}
        else:
            changes = {**_PAPER, "profile": _random_checkpoint(Path(folder), device)}
        completions, plain, fast = train.measure(1, 1, Path(folder), **changes)
    settings = {name: str(value) for name, value in changes.items() if name != "profile"}
    writer.row(settings=settings, **train.summary(completions, plain, fast))


def _random_checkpoint(folder: Path, device: torch.device) -> Path:
    """Save a 3B with random weights as a profile of the paper's picture size."""
    import models
    import yaml

    from segzero.profiles import load_profile

    segzero: Any = models.random("qwen2.5-vl-3b", "small", 256, device)
    segzero._reasoner._model.save_pretrained(folder / "3b")
    segzero._reasoner._processor.save_pretrained(folder / "3b")
    profile = {
        "summary": "a 3B with random weights",
        "reasoner": str(folder / "3b"),
        "segmenter": load_profile("demo").segmenter,
        "prompt": "vision_reasoner",
        "answer_format": "vision_reasoner",
        "coordinates": "relative_1000",
        "rounding": "half_up",
        "image_size": 840,
    }
    file = folder / "3b.yaml"
    file.write_text(yaml.safe_dump(profile))
    del segzero
    free()
    return file


def demo(device: torch.device, small: bool, writer: Writer) -> None:
    """The demo from nothing. Its folder stays, and a second call goes on where this one ended."""
    folder = writer.out.with_suffix("")
    words = ["--run", str(folder / "run"), "--out", str(folder / "demo"), "--device", str(device)]
    if small:
        few = ("segmenter", "memory", "looking", "writing", "naming", "matching", "base", "grpo")
        words += [word for name in few for word in (f"--{name}-steps", "1")]
        words += ["--scenes", "16", "--clips", "2", "--questions", "2"]
    start, limit = time.monotonic(), gpu.LIMIT - 30
    command = [sys.executable, "-m", "segzero_train.demo", *words]
    try:
        found = subprocess.run(command, timeout=limit, capture_output=True, text=True)
        status, said = found.returncode, (found.stdout + found.stderr).strip()[-2000:]
    except subprocess.TimeoutExpired:
        status, said = None, "not finished: call this part again, and it goes on"
    scores = folder / "run" / "scores.json"
    if status:
        raise RuntimeError(said.splitlines()[-1])
    writer.row(
        seconds=round(time.monotonic() - start),
        finished=status == 0,
        says=said.splitlines()[-1],
        scores=json.loads(scores.read_text()) if scores.exists() else None,
    )
