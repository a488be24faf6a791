"""Find, check, download and load weights. Only safetensors are read.

Only `fetch` downloads. A folder is checked before it is loaded: an error then names the missing or
damaged file. Without the check, transformers raises an obscure error or draws random weights.
"""

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from segzero.devices import translate_oom
from segzero.errors import CheckpointError, DeviceOutOfMemory

# No pickles: many repositories hold them in addition to the safetensors.
FILES = ("*.json", "*.jinja", "*.txt", "*.safetensors")


def resolve_weights(weights: str, profile: str) -> Path:
    """Find the folder of weights on this disk and check that it is complete.

    Args:
        weights: An absolute folder or a Hub name (`owner/name`).
        profile: The profile's name, for the error that says how to fetch missing weights.

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
        remedy = f"run `segzero fetch {profile}`"
        try:
            folder = Path(
                snapshot_download(weights, local_files_only=True, allow_patterns=list(FILES))
            )
        except LocalEntryNotFoundError as error:
            raise CheckpointError(
                f"the weights {weights} aren't on this machine, or not whole: {remedy}"
            ) from error
    _check(folder, remedy)
    return folder


def fetch(weights: str) -> Path:
    """Download weights from the Hugging Face Hub into its cache.

    Args:
        weights: A Hub name (`owner/name`), or an absolute folder, which is only checked.

    Returns:
        The folder of the weights. Complete files are not downloaded again.

    Raises:
        CheckpointError: The download failed, or the folder is not complete.
    """
    if Path(weights).is_absolute():
        return resolve_weights(weights, profile="")
    try:
        return Path(snapshot_download(weights, allow_patterns=list(FILES)))
    except Exception as error:  # network, access rights, full disk: many libraries' own errors
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"can't fetch the weights {weights} ({reason}): check the network and the free disk "
            f"space, or copy the folder here and name its path in a profile"
        ) from error


def load_pretrained(loader: Any, folder: Path, **options: Any) -> Any:
    """Call `loader.from_pretrained(folder)`.

    Args:
        loader: A class of transformers.
        folder: As `resolve_weights` returned it.
        **options: For `from_pretrained`.

    Returns:
        What `from_pretrained` returns.

    Raises:
        CheckpointError: It failed; the message names the folder.
        DeviceOutOfMemory: The memory is full.
    """
    try:
        with translate_oom():
            return loader.from_pretrained(folder, local_files_only=True, **options)
    except DeviceOutOfMemory:
        raise
    except Exception as error:  # the loaders raise whatever their parsers raise
        raise CheckpointError(f"can't load {folder}: {type(error).__name__}: {error}") from error


def load_model(
    loader: Any, folder: Path, *, dtype: str, device: torch.device, **options: Any
) -> Any:
    """Load a transformers model in evaluation mode.

    Args:
        loader: A class of transformers.
        folder: As `resolve_weights` returned it.
        dtype: The weights' type, a name of PyTorch's such as `bfloat16`.
        device: Where the model computes.
        **options: For `from_pretrained`.

    Returns:
        The model, all of whose weights are from the files.

    Raises:
        CheckpointError: The folder can't be loaded or lacks a weight of the model. Transformers
            would draw that at random.
        DeviceOutOfMemory: The model doesn't fit.
    """
    model, info = load_pretrained(
        loader,
        folder,
        use_safetensors=True,
        output_loading_info=True,
        dtype=getattr(torch, dtype),
        **options,
    )
    if missing := sorted(info["missing_keys"]):
        raise CheckpointError(
            f"the weights in {folder} lack {len(missing)} of the model's tensors: {missing[0]}, …"
        )
    with translate_oom():
        return model.to(device).eval()


def _check(folder: Path, remedy: str) -> None:
    """Raise CheckpointError unless every file that the folder should hold is there and whole."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder / 'config.json'} is missing: {remedy}")
    for path in sorted(folder.glob("*.json")):
        _read_json(path, remedy)
    for path in _weight_files(folder, remedy):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: {remedy}")
        try:
            with safe_open(path, framework="pt"):  # reads the header, compares it with the size
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): {remedy}") from error


def _weight_files(folder: Path, remedy: str) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    shards = _read_json(index, remedy).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{index} has no weight_map: {remedy}")
    return [folder / name for name in sorted(set(shards.values()))]


def _read_json(path: Path, remedy: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {remedy}") from error
