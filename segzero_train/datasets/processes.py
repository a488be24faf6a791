"""Jobs in several processes that end with the main process and with ctrl-C."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from typing import TypeVar

import cv2

from segzero_train.errors import BadData

Job = TypeVar("Job")
Result = TypeVar("Result")

_stop: Event | None = None


def each(
    do: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Do all jobs.

    A long job should check `stopped()` from time to time. What a job raises is raised here.

    Args:
        do: Computes the result of a job; runs in other processes if there are several workers.
        jobs: What to do.
        workers: How many processes.

    Yields:
        Each job with its result, in the order in which they finish.

    Raises:
        BadData: A process died.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, do(job)
        return
    context = get_context("spawn")  # OpenGL, torch and Arrow's threads don't survive a fork
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(stop,))
    try:
        # Ctrl-C reaches each process of the terminal; only this one handles it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            futures = {pool.submit(do, job): job for job in jobs}
        finally:
            signal.signal(signal.SIGINT, handler)
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise BadData(
            "a process died, maybe for want of memory; the same command with fewer --workers "
            "goes on where this one stopped"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def stopped() -> bool:
    """Whether the main process asks this one, a worker, to end."""
    return _stop is not None and _stop.is_set()


def _start(stop: Event) -> None:
    global _stop
    _stop = stop
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
