"""`python benchmarks/interruptions.py`: runs that are ended at random moments, and go on.

The demo's recipe trains under DeepSpeed ZeRO-3 on two processes, as `accelerate launch` starts them
with the shipped configuration, on the CPU. One run is left alone. Each of the others is ended once
by SIGTERM to the launcher, by SIGUSR1 or by SIGKILL to all processes, at a moment drawn evenly from
the whole run, its start included; then the same command is typed until the run is at its end.
Weights, the optimizer's shards and the log must then be the undisturbed run's, bit for bit. All
goes into `benchmarks/results/interruptions.json`.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import records
import torch
from safetensors.torch import load_file

PROCESSES = 2
RECIPE: dict[str, Any] = {
    "dataset_size": 32,
    "held_out_size": 0,
    "samples_every": 0,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "max_completion_length": 48,
    "lr_scheduler_type": "constant",
    "report_to": "none",
    "disable_tqdm": True,
}
SIGNALS = ("TERM", "USR1", "KILL")
_TIMES = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "step_time"}
"""What a log says of the clock."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run was ended, and what came of it.

    Attributes:
        name: Of the signal.
        after: Seconds from the start of the command.
        status: With which the command ended.
        step: Of the newest whole checkpoint that it left; 0 without any.
        starts: How often the command was typed until the end.
        equal: Whether the end is the undisturbed run's.
    """

    name: str
    after: float
    status: int
    step: int
    starts: int
    equal: bool


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endings", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=6, help="of a run; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=records.RESULTS / "interruptions.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, seconds = undisturbed(Path(folder) / "whole", options.steps)
        dice = random.Random(options.seed)
        endings = []
        for number in range(options.endings):
            run, name = Path(folder) / str(number), SIGNALS[number % len(SIGNALS)]
            moment = time.monotonic() + dice.uniform(0, seconds)
            endings.append(end(run, whole, options.steps, name, partial(_past, moment)))
            print(endings[-1], flush=True)
    figures = summary(endings, seconds, options.steps)
    libraries = ("torch", "transformers", "trl", "accelerate", "deepspeed")
    records.record(figures, libraries, options.out)
    return 0 if figures["equal"] == len(endings) else 1


def undisturbed(run: Path, steps: int) -> tuple[Path, float]:
    """Train to the end; returns the run's folder and the seconds that the command took."""
    begun = time.monotonic()
    process = start(run, steps)
    if status := process.wait():
        raise RuntimeError(f"the undisturbed run ended with status {status}")
    return run, time.monotonic() - begun


def end(run: Path, whole: Path, steps: int, name: str, due: Callable[[], bool]) -> Ending:
    """End a run once, and type its command until it has come to its end.

    Args:
        run: The folder to train in.
        whole: That of the undisturbed run.
        steps: Of a run.
        name: Of SIGNALS.
        due: Whether it is time.

    Returns:
        What came of it.
    """
    begun = time.monotonic()
    process = start(run, steps)
    while process.poll() is None and not due():
        time.sleep(0.01)
    after = time.monotonic() - begun
    if process.poll() is None:
        send(process, name)
    status = process.wait()
    step = _last(run)
    starts = 1
    while not (run / "trainer_state.json").is_file() and starts < 4:
        starts += 1
        start(run, steps).wait()
    return Ending(name, round(after, 1), status, step, starts, same(run, whole, steps))


def start(run: Path, steps: int) -> subprocess.Popen[bytes]:
    """Type the command."""
    words: list[str] = []
    for key, value in {**RECIPE, "max_steps": steps, "save_steps": 1, "output_dir": run}.items():
        words += [f"--{key}", str(value)]
    launch = ["-m", "accelerate.commands.launch", "--num_processes", str(PROCESSES)]
    launch += ["--config_file", str(records.ROOT / "config/accelerate/8gpu_zero3.yaml")]
    launch += ["--main_process_port", "0", "-m", "segzero_train.grpo", "--config", "demo"]
    machine = {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launch, *words],
        cwd=records.ROOT,
        # Long enough for a step and a checkpoint on a busy machine.
        env=os.environ | machine | {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def send(process: subprocess.Popen[bytes], name: str) -> None:
    """End the command: TERM goes to its launcher, USR1 to those that train, KILL to all."""
    number = signal.Signals[f"SIG{name}"]
    if name == "TERM":
        process.send_signal(number)
        return
    launcher = psutil.Process(process.pid)
    children = launcher.children(recursive=True)
    if name == "KILL":
        launcher.kill()
    for child in children:
        try:
            # Before it has taken the signal over, USR1 would end it as KILL does.
            child.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def same(run: Path, whole: Path, steps: int) -> bool:
    """Whether two runs ended alike, bit for bit: weights, optimizer and log."""
    if not (run / "trainer_state.json").is_file():
        return False
    last = Path(f"checkpoint-{steps}") / f"global_step{steps}"
    shards = sorted(path.name for path in (whole / last).glob("*_states.pt"))
    return (
        _equal(*(load_file(folder / "model.safetensors") for folder in (run, whole)))
        and all(
            _equal(*(_load(folder / last / name) for folder in (run, whole))) for name in shards
        )
        and _log(run) == _log(whole)
    )


def summary(endings: Sequence[Ending], seconds: float, steps: int) -> dict[str, Any]:
    """The figures of the record."""
    return {
        "recipe": f"demo, {steps} steps, ZeRO-3, {PROCESSES} processes",
        "undisturbed, s": round(seconds, 1),
        "endings": len(endings),
        "equal": sum(item.equal for item in endings),
        "by signal": dict(Counter(item.name for item in endings)),
        "before the first checkpoint": sum(item.step == 0 for item in endings),
        "each": [asdict(item) for item in endings],
    }


def _past(moment: float) -> bool:
    return time.monotonic() >= moment


def _last(run: Path) -> int:
    found = [
        int(path.parent.name.split("-")[1]) for path in run.glob("checkpoint-*/trainer_state.json")
    ]
    return max(found, default=0)


def _load(file: Path) -> Any:
    return torch.load(file, map_location="cpu", weights_only=False)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    # Others are settings and objects of DeepSpeed, which hold what differs by nature: paths, ports.
    return True


def _log(run: Path) -> list[dict[str, Any]]:
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    kept = [{key: value for key, value in entry.items() if key not in _TIMES} for entry in history]
    return [entry for entry in kept if "loss" in entry]


if __name__ == "__main__":
    sys.exit(main())
