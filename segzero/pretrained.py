"""Load transformers' models and processors from a checked folder."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
)
from transformers.utils import logging

from segzero.devices import translate_oom
from segzero.errors import CheckpointError, SegZeroError
from segzero.weights import weight_files

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_STORED = ("F64", "F32", "F16", "BF16")
_COUNTS = ("_ids", "_index", "_tracked")
"""Buffers of whole numbers."""
_LAYER = re.compile(r"(.*?\b(?:layers|blocks)\.)\d+\.")
_SLACK = 10**8
"""Elements of buffers that no file holds, such as positions."""
_LONGEST_REASON = 300
"""Characters of another library's message that an error repeats."""


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
    with translate_errors(f"can't load {folder}"):
        return loader.from_pretrained(folder, local_files_only=True, **options)


def load_model(
    loader: Any, folder: Path, *, dtype: str, device: torch.device, **options: Any
) -> Any:
    """Load a transformers model in evaluation mode.

    The weights are read into memory, tensor by tensor, straight to the device: a change of the
    files never reaches a loaded model.

    Args:
        loader: A class of transformers.
        folder: As `resolve_weights` returned it.
        dtype: The weights' type, a name of PyTorch's such as `bfloat16`.
        device: Where the model computes.
        **options: For `from_pretrained`.

    Returns:
        The model, all of whose weights are from the files and finite.

    Raises:
        CheckpointError: The folder can't be loaded, or lacks a weight of the model (transformers
            would draw that at random), or a weight is NaN or infinite.
        DeviceOutOfMemory: The model doesn't fit.
    """
    config = load_pretrained(AutoConfig, folder)
    _refuse_quantized(config, folder)
    model_class = _model_class(loader, config)
    with translate_errors(f"can't load {folder}"), _errors_only():
        tensors = _unread_tensors(folder)
        _require_plain(tensors, folder)
        _require_same_size(model_class, config, tensors, folder)
        model, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            output_loading_info=True,
            dtype=getattr(torch, dtype),
            # Tensors go to a device one by one. Without the map all would first be in host memory.
            device_map=None if device.type == "cpu" else {"": device},
            # Else transformers' error only refers to a report, which would go to the log.
            ignore_mismatched_sizes=True,
            **options,
        )
        if model.can_generate() and (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    if missing := sorted(info["missing_keys"]):
        raise CheckpointError(
            f"the weights in {folder} lack {len(missing)} of the model's tensors: {missing[0]}, …"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        name, held, described = mismatched[0]
        raise CheckpointError(
            f"the weights in {folder} don't fit its config.json: {name} is {tuple(held)}, not "
            f"{tuple(described)}"
        )
    _require_no_more_layers(model, info["unexpected_keys"], folder)
    require_finite(model, folder)
    return model.eval()


def require_finite(model: torch.nn.Module, folder: Path) -> None:
    """Refuse weights that aren't numbers.

    Args:
        model: A loaded model.
        folder: Where its weights come from, for the error.

    Raises:
        CheckpointError: A weight is NaN or infinite; the message names the tensor.
    """
    for name, tensor in model.state_dict().items():
        if tensor.dtype not in _FLOATS or not tensor.numel():
            continue
        low, high = tensor.aminmax()  # one pass, no copy; NaN goes through
        if not (low.isfinite() and high.isfinite()):
            raise CheckpointError(
                f"the weights in {folder} aren't all finite ({name} holds NaN or infinity): copy "
                f"or train the checkpoint again, or try another dtype"
            )


@contextmanager
def translate_errors(failed: str) -> Iterator[None]:
    """Turn whatever a library raises over a checkpoint's files into a CheckpointError.

    Args:
        failed: What couldn't be done, for the error.

    Yields:
        Nothing.

    Raises:
        CheckpointError: Something failed inside the block; the message is one line.
        DeviceOutOfMemory: The memory is full.
    """
    try:
        with translate_oom():
            yield
    except (SegZeroError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the tokenizers' Rust code is no Exception
        reason = " ".join(str(error).split())
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        raise CheckpointError(f"{failed}: {type(error).__name__}: {reason}") from error


def _model_class(loader: Any, config: Any) -> Any:
    if loader is not AutoModelForImageTextToText:
        return loader
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise CheckpointError(
            f"{config.name_or_path} holds a model of type {config.model_type}: a reasoner is a "
            f"language model that reads pictures"
        )
    return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]


def _refuse_quantized(config: Any, folder: Path) -> None:
    settings = getattr(config, "quantization_config", None)
    if settings:
        method = settings.get("quant_method") if isinstance(settings, dict) else settings
        raise CheckpointError(
            f"{folder} holds quantized weights ({method}): take the model that they were made of, "
            f"or serve them and name `server` in a profile"
        )


def _require_plain(tensors: Mapping[str, "_Unread"], folder: Path) -> None:
    """Raise CheckpointError for tensors whose numbers alone aren't the weights."""
    for name, tensor in tensors.items():
        if "lora_" in name:
            raise CheckpointError(
                f"the weights in {folder} hold a LoRA adapter that isn't merged ({name}): merge "
                f"it, such as with `python -m segzero_train.export`"
            )
        if tensor.dtype() not in _STORED and not name.endswith(_COUNTS):
            raise CheckpointError(
                f"the weights in {folder} are quantized or no numbers ({name} is of the type "
                f"{tensor.dtype()}): take those of 16 or 32 bits"
            )


def _require_no_more_layers(model: torch.nn.Module, unused: Iterable[str], folder: Path) -> None:
    """Raise CheckpointError if the files hold further layers of a stack that the model has."""
    stacks = {match.group(1) for name in model.state_dict() if (match := _LAYER.match(name))}
    for name in sorted(unused):
        if (match := _LAYER.match(name)) and match.group(1) in stacks:
            raise CheckpointError(
                f"the weights in {folder} don't fit its config.json, which describes fewer layers: "
                f"{name} has no place"
            )


@contextmanager
def _errors_only() -> Iterator[None]:
    """Keep transformers' reports out of the log: what matters of them becomes an error."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _require_same_size(
    model_class: Any, config: Any, tensors: Mapping[str, "_Unread"], folder: Path
) -> None:
    """Raise CheckpointError for a configuration of a larger model than the files hold.

    transformers would first draw what is missing at random, which can fill the memory.
    """
    with torch.device("meta"):
        model = model_class(config)
    described = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    held = sum(tensor.numel() for tensor in tensors.values())
    if described > _SLACK + 1.2 * held:
        raise CheckpointError(
            f"{folder / 'config.json'} describes a model of {described:.3g} parameters, and the "
            f"weights beside it hold {held:.3g}: they don't belong together, or it is damaged"
        )


@dataclass(frozen=True, slots=True)
class _Unread:
    """A tensor that transformers reads by `[...]` when it places it on a device."""

    file: Any
    name: str

    def __getitem__(self, part: Any) -> torch.Tensor:
        tensor: torch.Tensor = self.file.get_tensor(self.name)  # half the time of get_slice
        return tensor[part]

    def dtype(self) -> str:
        """As the file's header says, such as `BF16`."""
        return str(self.file.get_slice(self.name).get_dtype())

    def numel(self) -> int:
        """As the file's header says."""
        return math.prod(self.file.get_slice(self.name).get_shape())


def _unread_tensors(folder: Path) -> dict[str, _Unread]:
    """The tensors of all files by name.

    Not by mmap, safetensors' default: such weights change with the file, and end the process when
    it is truncated.
    """
    tensors: dict[str, _Unread] = {}
    for path in weight_files(folder):
        file: Any = safe_open(path, framework="pt", backend="pread")
        tensors |= {name: _Unread(file, name) for name in file.keys()}  # noqa: SIM118
    return tensors
