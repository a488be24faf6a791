"""Which device the models run on, and what to say when its memory is full."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

from segzero.errors import CheckpointError, DeviceOutOfMemory

# A CPU allocator's failure is a plain RuntimeError, told by its text alone.
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def resolve_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU; other names are PyTorch's.

    Raises CheckpointError if PyTorch can't compute there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"can't use device {name!r}: {reason}; try auto or cpu") from error
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions; a CPU without takes twenty times as long."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def translate_oom() -> Iterator[None]:
    """Raise DeviceOutOfMemory where PyTorch says so in its several ways."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not full and not _OUT_OF_MEMORY.search(str(error)):
            raise
        reason = str(error).partition("\n")[0]
    else:
        return
    # Out of the handler, so that no traceback keeps the tensors of the failed call alive.
    release_memory()
    raise DeviceOutOfMemory(
        f"the device is out of memory ({reason}); use a smaller image or model, or free the device"
    )


@contextmanager
def cuda_side_stream(device: torch.device) -> Iterator[None]:
    """Compute beside what other threads have this GPU do; all is done at the end."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


@contextmanager
def limit_omp_threads() -> Iterator[None]:
    """Leave half of the processor to another thread that computes meanwhile.

    On as many threads as there are cores for each of the two, small operations take twice as long.
    """
    limit = max(1, torch.get_num_threads() // 2)
    with _libraries().limit(limits=limit, user_api="openmp"):  # of the calling thread alone
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def release_memory() -> None:
    """Give cached device memory back, so that others (or the next call) can have it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
