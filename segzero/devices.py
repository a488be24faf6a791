"""Which device the models run on, and what to say when its memory is full."""

import ctypes
import logging
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

from segzero import gpu
from segzero.errors import CheckpointError, DeviceOutOfMemory

_LOG = logging.getLogger(__name__)

# A CPU allocator's failure is a plain RuntimeError, told by its text alone.
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def resolve_device(name: str) -> torch.device:
    """Find the device of a name.

    Args:
        name: `auto` for the first GPU if there is one, else the CPU; or a name of PyTorch's, such
            as `cpu` or `cuda:1`.

    Returns:
        The device.

    Raises:
        CheckpointError: PyTorch can't compute there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which `meta` can't
    except Exception as error:  # each backend raises its own
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"can't use device {name!r}: {reason}; try auto or cpu") from error
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch has fast bfloat16 kernels there; without, training takes 20 times as long.

    GPUs have them, and CPUs with AVX-512, AVX-NE-CONVERT or Arm's BF16.
    """
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def computes_float16(device: torch.device) -> bool:
    """Whether PyTorch has fast float16 kernels there; few CPUs do, and without, SAM 2 crawls."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def choose_dtype(wanted: str, device: torch.device, what: str) -> str:
    """Choose the type to compute in, and log it in one line.

    Args:
        wanted: `float32`, `bfloat16` or `float16`.
        device: Where the model computes.
        what: Names the model in the log, such as "reasoner".

    Returns:
        `wanted`; `float32` on a CPU without fast kernels for it.
    """
    slow = (wanted == "bfloat16" and not computes_bfloat16(device)) or (
        wanted == "float16" and not computes_float16(device)
    )
    if slow:
        _LOG.warning(
            "the %s computes in float32: this processor has no fast kernels for %s", what, wanted
        )
        return "float32"
    _LOG.info("the %s computes in %s on %s", what, wanted, device)
    return wanted


@contextmanager
def translate_oom() -> Iterator[None]:
    """Turn each of PyTorch's out-of-memory errors into a DeviceOutOfMemory.

    Yields:
        Nothing.

    Raises:
        DeviceOutOfMemory: The device's memory, or the host's, was full inside the block.
    """
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
    """Run the block's GPU work on a stream of its own, parallel to that of other threads.

    Args:
        device: Where the block computes; on a CPU the block runs as it is.

    Yields:
        Nothing. All work of the block is complete at its end.
    """
    if device.type != "cuda":
        yield
        return
    with gpu.of(device).side_stream():
        yield


@contextmanager
def limit_omp_threads() -> Iterator[None]:
    """Compute on half of the OpenMP threads, for two threads that compute at the same time.

    If each of the two uses as many threads as there are cores, small operations take twice as long.
    The limit holds for the calling thread.

    Yields:
        Nothing.
    """
    limit = max(1, torch.get_num_threads() // 2)
    with _libraries().limit(limits=limit, user_api="openmp"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def release_memory() -> None:
    """Free the memory that PyTorch and the C library cache, for others or the next call."""
    gpu.empty_cache()
    if platform.libc_ver()[0] == "glibc":
        # Freed weights lie between what is still in use; glibc keeps the holes until it is told.
        ctypes.CDLL(None).malloc_trim(0)
