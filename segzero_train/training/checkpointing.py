"""A run's folder: its recipe, its newest whole checkpoint, and how a command ends."""

import dataclasses
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from segzero.errors import SegZeroError
from segzero.files import write_text_whole
from segzero_train.errors import BadRecipe
from segzero_train.rewards import current_spec
from segzero_train.runs import checkpoints
from segzero_train.training.early_stop import EarlyStop, Reason

# What may change between the parts of one run: how long, how watched, how saved, and on which
# machines. Nothing of it changes what is learned.
_FREE = frozenset(
    {
        "max_steps",
        "num_train_epochs",
        "logging_steps",
        "logging_dir",
        "report_to",
        "save_steps",
        "save_total_limit",
        "samples_every",
        "resume_from_checkpoint",
        "disable_tqdm",
        "run_name",
        "time_limit",
        "ddp_timeout",
        "held_out_batch",
        "dataloader_num_workers",
        "dataloader_persistent_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "vllm_server_base_url",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
        "vllm_group_port",
    }
)

_PATIENCE = 10.0
"""Seconds that the first process of another machine waits for the launcher; later ones twice."""


def train_to_end(trainer: Any, recipe: Sequence[Any]) -> Reason:
    """Train from the newest checkpoint on, if there is one, and save the model at the end.

    Args:
        trainer: A trainer of transformers.
        recipe: The dataclasses that the recipe was read into.

    Returns:
        Why the run ended early; empty if it came to its end.

    Raises:
        BadRecipe: The folder holds a run of another recipe or of another number of processes.
    """
    folder = Path(trainer.args.output_dir)
    early_stop = EarlyStop(recipe[0].time_limit)
    if trainer.accelerator.is_main_process:
        check_processes(folder, trainer.accelerator.num_processes)
        record_recipe(folder, recipe)
    trainer.accelerator.wait_for_everyone()
    if finished(folder, trainer.args):
        print(f"{folder} is finished: raise max_steps or num_train_epochs to go on from there")
        return ""
    checkpoint = trainer.args.resume_from_checkpoint or last_checkpoint(folder)
    trainer.add_callback(early_stop)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not early_stop.reason:
        trainer.save_model()
        trainer.save_state()
    # Processes that end one after the other would abort in Gloo's threads.
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    return early_stop.reason


class WholeCheckpoints:
    """A trainer of transformers whose `trainer_state.json` is written after all else.

    Transformers' first process doesn't wait for what the others write. A run that was killed
    between would go on with the random numbers of one process unknown.
    """

    def _save_rng_state(self, output_dir: str) -> None:
        base: Any = super()
        base._save_rng_state(output_dir)
        trainer: Any = self
        trainer.accelerator.wait_for_everyone()


def check_processes(folder: Path, processes: int) -> None:
    """Check that a run goes on with as many processes as it began with.

    Args:
        folder: The run's.
        processes: How many there are now.

    Raises:
        BadRecipe: It has a checkpoint of another number of processes. Each holds its own random
            numbers and, under DeepSpeed and FSDP, its own part of the optimizer.
    """
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        return
    try:
        starts = json.loads((folder / "run.json").read_text())["starts"]
        before = int(starts[-1]["processes"])
    except (OSError, ValueError, LookupError, TypeError):
        return  # a run of an older version
    if before != processes:
        raise BadRecipe(
            f"{folder} was trained by {before} processes, and now there are {processes}: go on "
            f"with {before}, or begin anew from its weights with --weights {checkpoint} and "
            f"another --output_dir"
        )


def record_recipe(folder: Path, parts: Sequence[Any]) -> None:
    """Write the whole recipe to `folder/recipe.yaml`, or compare it with the one that is there.

    Args:
        folder: The run's; made if it is missing.
        parts: The dataclasses that the recipe was read into.

    Raises:
        BadRecipe: The folder holds a run of another recipe.
    """
    recipe: dict[str, Any] = {}
    for part in parts:
        recipe |= part.to_dict() if hasattr(part, "to_dict") else dataclasses.asdict(part)
    # Through JSON, so that what is compared is what is written.
    recipe = json.loads(json.dumps(recipe, default=str))
    file = folder / "recipe.yaml"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, yaml.safe_dump(recipe))
        return
    before = yaml.safe_load(file.read_text())
    if "rewards" in before:  # a run that began before a reward was renamed goes on
        before["rewards"] = [current_spec(spec) for spec in before["rewards"]]
        recipe["rewards"] = [current_spec(spec) for spec in recipe.get("rewards", [])]
    changed = sorted(
        key
        for key in recipe.keys() | before.keys()
        if key not in _FREE and recipe.get(key) != before.get(key)
    )
    if changed:
        differences = ", ".join(f"{k} ({before.get(k)} → {recipe.get(k)})" for k in changed[:5])
        raise BadRecipe(
            f"{folder} holds a run of another recipe: {differences}. Choose another output_dir, or "
            f"remove that folder"
        )


def finished(folder: Path, config: Any) -> bool:
    """Whether a run has no step left; resumed all the same, transformers would take one more."""
    try:
        state = json.loads((folder / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    if config.max_steps > 0:
        return state["global_step"] >= config.max_steps
    return state["epoch"] >= config.num_train_epochs


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete `checkpoint-N` of a run; None if there is none."""
    for path in reversed(checkpoints(folder).values()):
        try:
            # Written last: without it, the writing of the checkpoint was cut off.
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, ValueError):
            continue
    return None


@dataclass
class Outcome:
    """How a command ended.

    Attributes:
        status: The exit status.
        folder: The run's, as soon as it is known.
        stopped: Why the run ended early; empty if it didn't.
    """

    status: int = 0
    folder: Path | None = None
    stopped: Reason = ""


@contextmanager
def reported() -> Iterator[Outcome]:
    """Turn what ends a training command early into one line and an exit status.

    Of several processes that fail together, only the first one of each machine says it.

    Yields:
        The outcome; complete after the block.
    """
    outcome = Outcome()
    try:
        with _first_speaks():
            yield outcome
    except SegZeroError as error:
        outcome.status = 1
        print(f"error: {error}", file=sys.stderr)
    except (ImportError, OSError, SafetensorError) as error:
        outcome.status = 1
        print(f"error: {error}. {_goes_on(outcome.folder)}", file=sys.stderr)
    except RuntimeError as error:
        # All that torch.save says of a full disk.
        if not re.search("inline_container|iostream", str(error)):
            raise
        outcome.status = 1
        print(
            f"error: a file can't be written: is the disk full? {_goes_on(outcome.folder)}",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        outcome.stopped = "interrupted"
    if outcome.stopped == "interrupted":
        outcome.status = 130
        print(f"interrupted. {_goes_on(outcome.folder)}", file=sys.stderr)
    elif outcome.stopped and not int(os.environ.get("RANK", "0")):
        print(f"stopped ahead of its end. {_goes_on(outcome.folder)}", file=sys.stderr)


@contextmanager
def _first_speaks() -> Iterator[None]:
    """Hold an error of a later process back until the launcher has ended this process.

    It ends all as soon as one has failed, but on its own machine alone. If this one lives on, it
    alone failed, and speaks.
    """
    try:
        yield
    except Exception:
        if int(os.environ.get("RANK", "0")):
            time.sleep(2 * _PATIENCE if int(os.environ.get("LOCAL_RANK", "0")) else _PATIENCE)
        raise


def _goes_on(folder: Path | None) -> str:
    last = last_checkpoint(folder) if folder else None
    if last is None:
        return "No checkpoint was written yet."
    return f"{last} is whole: the same command goes on from there."
