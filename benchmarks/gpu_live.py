"""The part of `gpu.py` that follows and answers for minutes, without ROS."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from gpu_discs import discs
from gpu_writer import Writer
from numpy.typing import NDArray


def live(device: torch.device, small: bool, writer: Writer) -> None:
    """Follow two discs, and ask one question after the other meanwhile; memory as time goes on."""
    import follow

    from segzero.pipeline import SegZero

    segzero = SegZero.load("demo", str(device))
    pairs = discs(2, 640, 480)
    first, masks = next(pairs)
    found = segzero.segment(first, [follow._ground(mask) for mask in masks])
    ended, answered = threading.Event(), itertools.count()
    asking = threading.Thread(target=_ask, args=(segzero, first, ended, answered), daemon=True)
    asking.start()
    try:
        _watch(segzero.track(first, found), pairs, answered, 4 if small else 480, writer)
    finally:
        ended.set()
        asking.join()


def _ask(
    segzero: Any, frame: NDArray[np.uint8], ended: threading.Event, answered: Iterator[int]
) -> None:
    from segzero.errors import SegZeroError

    while not ended.is_set():
        with suppress(SegZeroError):  # an answer without objects, or stopped
            segzero.ask(frame, "the red ball", stop=ended)
        next(answered)


def _watch(
    following: Any,
    pairs: Iterator[Any],
    answered: Iterator[int],
    seconds: float,
    writer: Writer,
) -> None:
    import follow

    start, since, count, before = time.monotonic(), time.monotonic(), 0, 0
    step = seconds / 16
    for frame, _ in pairs:
        following.step(frame)
        count += 1
        now = time.monotonic()
        if now - since < step:
            continue
        asked = next(answered)  # which counts this look, too
        writer.row(
            minutes=round((now - start) / 60, 2),
            memory=round(follow._memory() / 1e6, 1),
            **{"frames per second": round(count / (now - since), 1), "answers": asked - before},
        )
        since, count, before = time.monotonic(), 0, asked + 1
        if now - start >= seconds:
            break
    following.close()
