"""From the name of weights to a loaded model: safetensors only, from the disk only, all or nothing.

Nothing here downloads except `fetch`. A folder is checked before it is loaded, so that a missing or
half-written file is named instead of showing up as an obscure error, or as random weights.
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

# No pickles: repositories often carry them beside the safetensors.
FILES = ("*.json", "*.jinja", "*.txt", "*.safetensors")


def resolve_weights(weights: str, profile: str) -> Path:
    """The complete folder of weights on this disk, from a folder or a Hub name.

    profile: named in the CheckpointError that says how to fetch what isn't there.
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
    """Download weights from the Hugging Face Hub into its cache; a folder stays as it is.

    Complete files aren't loaded twice. Raises CheckpointError if that fails.
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
    """`loader.from_pretrained(folder)` with any failure as a CheckpointError naming it."""
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
    """A transformers model in evaluation mode on `device`; every one of its weights from the files.

    Raises CheckpointError if the files lack a weight: transformers would draw it at random.
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
