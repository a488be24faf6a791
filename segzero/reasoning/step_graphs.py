"""CUDA graphs of decoding steps: one for each number of tokens and each bucket of lengths.

Shape comments use: W tokens of a step, V vocabulary size.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch

from segzero import gpu

_LOG = logging.getLogger(__name__)
_SHORTEST = 512
"""Slots that attention reads in the smallest bucket; each next one has twice as many."""

Forward = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(W, V) logits from (W,) tokens, their (W,) slots, and how many slots attention reads."""


class StepGraphs:
    """Records a step of each shape once and replays it.

    Args:
        forward: Works in a fixed shape for each W and each number of slots, at fixed addresses,
            and never waits for the GPU.
        slots: (C,) int64 of the cache, 0 to C - 1, on its device.

    Attributes:
        usable: Whether steps can be recorded here.
    """

    def __init__(self, forward: Forward, slots: torch.Tensor) -> None:
        self._forward = forward
        self._slots = slots
        self._buckets = buckets(len(slots))
        self._inputs: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._graphs: dict[tuple[int, int], tuple[Any, torch.Tensor]] = {}
        self.usable = slots.is_cuda

    def record(self, width: int) -> None:
        """Record steps of W tokens for all lengths, before anyone waits for an answer."""
        for length in self._buckets:
            if self.usable and (width, length) not in self._graphs:
                self._try_record(width, length)

    def replay(self, tokens: torch.Tensor, position: int) -> torch.Tensor | None:
        """Replay a step, which is recorded first where its shape is new.

        Args:
            tokens: (W,) int64.
            position: The slot of the first one.

        Returns:
            (W, V) logits, which the next replay overwrites. None where nothing can be recorded.
        """
        width = len(tokens)
        length = next(size for size in self._buckets if size >= position + width)
        if self.usable and (width, length) not in self._graphs:
            self._try_record(width, length)
        if not self.usable:
            return None
        token_input, slot_input = self._inputs[width]
        token_input.copy_(tokens)
        slot_input.copy_(self._slots[position : position + width])
        graph, logits = self._graphs[width, length]
        graph.replay()
        return logits

    def _try_record(self, width: int, length: int) -> None:
        """Record a shape. If that fails, all of them are given up, with one warning."""
        try:
            if width not in self._inputs:
                self._inputs[width] = (self._slots.new_zeros(width), self._slots[:width].clone())
            tokens, slots = self._inputs[width]
            # Graphs are replayed one after the other, so that all share one pool of memory.
            pool = next((graph.pool() for graph, _ in self._graphs.values()), None)
            self._graphs[width, length] = gpu.of(slots.device).capture(
                lambda: self._forward(tokens, slots, length), pool
            )
            return
        except (RuntimeError, AssertionError) as error:  # the latter by builds without CUDA
            reason = str(error).partition("\n")[0]
        # Out of the handler, so that no traceback keeps the memory of the failed capture.
        self.usable = False
        self._graphs.clear()
        self._inputs.clear()
        gpu.empty_cache()
        _LOG.warning("decoding runs without CUDA graphs, they can't be captured: %s", reason)


def buckets(capacity: int) -> list[int]:
    """How many slots attention may read, in rising order; the last bucket is all of them.

    Args:
        capacity: Slots of the cache.
    """
    sizes = []
    size = _SHORTEST
    while size < capacity:
        sizes.append(size)
        size *= 2
    return [*sizes, capacity]
