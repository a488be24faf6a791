"""What a run was made with: `RUN/run.json` has an entry for each time that it was started."""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from pyarrow import compute
from transformers import TrainerCallback

from segzero.files import write_text_whole

if TYPE_CHECKING:
    from datasets import Dataset

_LIBRARIES = ("segzero", "torch", "transformers", "trl", "accelerate", "deepspeed", "peft")
_TEXTS = ("id", "problem", "solution", "text", "category")
_PICTURES = ("image", "mask")


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Which rows a run was given.

    Attributes:
        source: As the recipe names it.
        split: Of the source.
        rows: How many.
        fingerprint: Of their texts and of the sizes of their pictures; see `fingerprint`.
    """

    source: str
    split: str
    rows: int
    fingerprint: str


class RunRecord(TrainerCallback):
    """Adds an entry to `RUN/run.json` when the training begins."""

    def __init__(self, entry: dict[str, Any]) -> None:
        """Remember what to write.

        Args:
            entry: As `describe_run` returns it.
        """
        self._entry = entry

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the entry."""
        if not state.is_world_process_zero:
            return
        file = Path(args.output_dir) / "run.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"starts": []}
        starts = [*before["starts"], {"from_step": state.global_step, **self._entry}]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, json.dumps({"starts": starts}, indent=1) + "\n")


def describe_run(base: str, data: Sequence[DataRecord], processes: int) -> dict[str, Any]:
    """What a run is made with.

    Args:
        base: The weights that it starts from.
        data: The rows to train on, then those held out.
        processes: How many train.

    Returns:
        Command, time, commit, versions, hardware and data, for JSON.
    """
    return {
        "command": shlex.join(["python", "-m", *_module(), *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "processes": processes,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "weights": base,
        "data": [asdict(record) for record in data],
    }


def fingerprint(rows: "Dataset") -> str:
    """Sixteen hexadecimal digits that tell one set of rows from another.

    Texts count with every character, pictures with the size of their files: reading those would
    take minutes.

    Args:
        rows: With pictures undecoded.

    Returns:
        The same for the same rows, wherever they lie.
    """
    digest = hashlib.sha256()
    for table in rows.with_format("arrow").iter(1000):
        for name in (name for name in (*_TEXTS, *_PICTURES) if name in table.column_names):
            column = table[name]
            if name in _PICTURES and pa.types.is_struct(column.type):
                column = compute.binary_length(compute.struct_field(column, "bytes"))
            elif name in _PICTURES:
                column = compute.list_value_length(column)
            digest.update(repr((name, column.to_pylist())).encode())
    return digest.hexdigest()[:16]


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name] if spec is not None else []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the source tree, with `-dirty` if files differ from it; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip()
