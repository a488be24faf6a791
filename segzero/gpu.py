"""What threads share on one GPU: a second stream, and the right to capture CUDA graphs.

PyTorch hands out streams from a pool of 32, each with a cache of memory of its own, and one of
them may be under capture. So there is one object for each device, with a fixed stream for each
purpose.

CUDA graphs: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

_T = TypeVar("_T")
_WARM_UP = 3
"""Calls before a capture: libraries initialise themselves in the first ones."""


class Gpu:
    """One GPU. Use `of`, which returns the same object for the same device.

    Args:
        device: Of type `cuda`, with its index.

    Attributes:
        lock: Held by who captures, and by who must not run during a capture.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Of one thread several times: out of memory in a capture or on the side stream frees.
        self.lock = threading.RLock()
        self._side: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._capturing: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        """Run the block's work beside that of other threads; never during a capture.

        Yields:
            Nothing. All work of the block is complete at its end.
        """
        with self.lock:
            self._side.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._side):
                yield
            self._side.synchronize()

    def capture(self, function: Callable[[], _T], pool: Any = None) -> tuple[Any, _T]:
        """Record what a function launches.

        Args:
            function: Works in fixed shapes at fixed addresses, and never waits for the GPU.
            pool: Of an earlier graph that is never replayed at the same time; it shares memory.

        Returns:
            The CUDAGraph, and what the function returned, at the addresses of a replay.

        Raises:
            RuntimeError: It can't be recorded.
        """
        with self.lock:
            current = torch.cuda.current_stream(self._device)
            self._capturing.wait_stream(current)
            with torch.cuda.stream(self._capturing):
                for _ in range(_WARM_UP):
                    function()
            current.wait_stream(self._capturing)
            graph = torch.cuda.CUDAGraph()
            # Other threads may launch work at the same time, on their own streams.
            with torch.cuda.graph(
                graph, pool=pool, stream=self._capturing, capture_error_mode="thread_local"
            ):
                output = function()
        return graph, output


_GPUS: dict[torch.device, Gpu] = {}
_GPUS_LOCK = threading.Lock()


def of(device: torch.device) -> Gpu:
    """The object of a device.

    Args:
        device: Of type `cuda`; without an index, the current one.

    Returns:
        The same one for the same device, in all threads.
    """
    if device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    with _GPUS_LOCK:
        if device not in _GPUS:
            _GPUS[device] = Gpu(device)
        return _GPUS[device]


def empty_cache() -> None:
    """Give the memory that PyTorch caches back to the devices; never during a capture."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    with ExitStack() as captures, _GPUS_LOCK:
        for device in _GPUS.values():
            captures.enter_context(device.lock)
        torch.cuda.empty_cache()


def to_host(token: torch.Tensor) -> Callable[[], int]:
    """Send one number to the host. Work that is launched after this doesn't delay it.

    Args:
        token: (1,) int64 on any device.

    Returns:
        Waits for the number and returns it.
    """
    if not token.is_cuda:
        return lambda: int(token)
    host = torch.empty(1, dtype=torch.long, pin_memory=True)
    host.copy_(token, non_blocking=True)
    sent = torch.cuda.Event()  # type: ignore[no-untyped-call]
    sent.record()

    def number() -> int:
        sent.synchronize()
        return int(host)

    return number
