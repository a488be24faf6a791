"""Find weights on this disk and check their files. Only safetensors are read.

A folder is checked before it is loaded: an error then names the missing or damaged file. Without
the check, transformers raises an obscure error or draws random weights.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from segzero.errors import CheckpointError

# No pickles: many repositories hold them in addition to the safetensors.
SETTINGS = ("*.json", "*.jinja", "*.txt")
"""The files beside the weights."""
SUBFOLDERS = ("*/*",)
"""Never needed: they hold training states, other formats, the weights of earlier steps."""
SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST = {
    re.compile("layers|depth|blocks|heads|outputs|experts|levels|stages"): 10_000,
    re.compile("^(height|width|(image|patch|window|merge|kernel)_(size|padding|stride))$"): 4096,
    re.compile("^(shortest_edge|min_pixels)$"): 4096**2,
}
"""Numbers beyond these, by the pattern of their key, would take hours or all memory."""
_LFS_POINTER = b"version https://git-lfs"


def split_revision(weights: str) -> tuple[str, str | None]:
    """Take a Hub name apart.

    Args:
        weights: `owner/name` or `owner/name@revision`.

    Returns:
        The name, and the revision (a commit, tag or branch) or None.
    """
    name, _, revision = weights.partition("@")
    return name, revision or None


def resolve_weights(weights: str, profile: str = "") -> Path:
    """Find the folder of weights on this disk and check that it is complete.

    Args:
        weights: An absolute folder or a Hub name (`owner/name` or `owner/name@revision`).
        profile: The profile that names the weights, for the error that says how to fetch them.
            Without one, it says how to fetch these weights alone.

    Returns:
        The folder.

    Raises:
        CheckpointError: The weights are missing, incomplete or damaged.
    """
    folder = Path(weights)
    if folder.is_absolute():
        remedy = "copy or train the checkpoint again"
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder {folder}: {remedy}")
    else:
        remedy = f"run `segzero fetch {shlex.quote(profile or weights)}`"
        folder = _cached(weights, remedy)
    check_weights(folder, remedy)
    return folder


def check_weights(folder: Path, remedy: str) -> None:
    """Check that every file that a checkpoint should hold is there and whole.

    Args:
        folder: The checkpoint.
        remedy: What to do if not, for the error.

    Raises:
        CheckpointError: A file is missing or damaged; the message names it.
    """
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise CheckpointError(
            f"{folder} holds a LoRA adapter, not a model: export it with "
            f"`python -m segzero_train.export`"
            if adapter
            else f"{folder / 'config.json'} is missing: {remedy}"
        )
    for path in sorted(folder.glob("*.json")):
        content = _read_json(path, remedy)
        if path.name.endswith("config.json"):
            _refuse_huge(content, path, remedy)
    for path in weight_files(folder, remedy):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: {_other_weights(folder) or remedy}")
        _refuse_placeholder(path, remedy)
        try:
            with safe_open(path, framework="pt"):  # reads the header, compares it with the size
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): {remedy}") from error


def weight_files(folder: Path, remedy: str = "copy the checkpoint again") -> list[Path]:
    """The safetensors files that a checkpoint consists of, whether or not they are there.

    Args:
        folder: The checkpoint.
        remedy: What to do if its index is damaged, for the error.

    Returns:
        `model.safetensors`, or what the index names.

    Raises:
        CheckpointError: The index can't be used.
    """
    single, index = folder / SINGLE_FILE, folder / INDEX
    if single.is_file() or not index.is_file():
        return [single]
    shards = _read_json(index, remedy).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{index} has no weight_map: {remedy}")
    for name in shards.values():
        plain = isinstance(name, str) and Path(name).name == name and "\0" not in name
        if not plain or not name.endswith(".safetensors"):
            raise CheckpointError(f"{index} names {name!r} as a file of weights: {remedy}")
    return [folder / name for name in sorted(set(shards.values()))]


def _other_weights(folder: Path) -> str:
    """What to do about weights in a format that isn't read; empty if there are none."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
            return f"only safetensors are read; convert {path.name} with `save_pretrained`"
        if path.suffix == ".gguf":
            return f"only safetensors are read; serve {path.name} and name `server` in a profile"
    return ""


def _cached(weights: str, remedy: str) -> Path:
    name, revision = split_revision(weights)
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=True,
                allow_patterns=list(SETTINGS),
                ignore_patterns=list(SUBFOLDERS),
            )
        )
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"the weights {weights} aren't on this machine, or not whole: {remedy}"
        ) from error
    except (HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the weights {weights} can't be looked up: {reason}") from error


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    _refuse_placeholder(path, remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged (it isn't a JSON object): {remedy}")
    return content


def _refuse_huge(content: Any, path: Path, remedy: str, key: str = "") -> None:
    """Raise CheckpointError for a number of modules or pixels that no model has."""
    if isinstance(content, dict):
        for name, value in content.items():
            _refuse_huge(value, path, remedy, name)
    elif isinstance(content, list):
        for value in content:
            _refuse_huge(value, path, remedy, key)
    elif isinstance(content, int | float):
        for pattern, most in _MOST.items():
            if content > most and pattern.search(key):
                raise CheckpointError(f"{path} is damaged ({key} is {content}): {remedy}")


def _refuse_placeholder(path: Path, remedy: str) -> None:
    """Raise CheckpointError for what downloads leave in place of a file."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}): {remedy}") from error
    if not start:
        raise CheckpointError(f"{path} is damaged (it is empty): {remedy}")
    if start.startswith(_LFS_POINTER):
        raise CheckpointError(f"{path} is only a pointer of Git LFS: run `git lfs pull` there")
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path} is damaged (it is a web page): {remedy}")
