"""One thread that works on the newest job of each key in turn, so that no callback waits."""

import os
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

_NICE = 10
"""What the thread yields to others. Less costs them more; at 19 they wait for Python's own lock,
which the thread then gives back late."""


class Stoppable(Protocol):
    """A job."""

    @property
    def stop(self) -> threading.Event:
        """Set to stop it."""
        ...


Job = TypeVar("Job", bound=Stoppable)
Result = TypeVar("Result")


class Worker(Generic[Job, Result]):
    """A thread with a queue that holds one job for each key.

    Every submitted job ends in exactly one of two ways: `deliver(job, result)` is called with what
    `work` returned or raised, or a later `submit`, `cancel` or `close` returns the job. A job of
    the same key takes the place of a waiting one, and stops a running one.

    The thread, and those that it starts, yield the processor to the others of the process.

    Args:
        work: Called in the thread with the job. Once its `stop` is set, it should return or raise
            soon.
        deliver: Called in the thread for jobs that were not stopped.
        follow_up: Called in the thread after `deliver`, with the job and its result; `cancel` and
            `close` still set its `stop`.
        on_stop: Called by the thread that set a `stop`, to wake a `work` that waits.
        on_error: Called with what `deliver` or `follow_up` raised; the thread goes on.
    """

    def __init__(
        self,
        work: Callable[[Job], Result],
        deliver: Callable[[Job, Result | Exception], None],
        follow_up: Callable[[Job, Result | Exception], None] = lambda *_: None,
        on_stop: Callable[[], None] = lambda: None,
        on_error: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._work = work
        self._deliver = deliver
        self._follow_up = follow_up
        self._on_stop = on_stop
        self._on_error = on_error
        self._change = threading.Condition()
        self._waiting: dict[Hashable, Job] = {}  # in the order of their turn
        self._running: tuple[Hashable, Job] | None = None
        self._delivered = False  # the running job
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="segzero-worker", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._running is not None

    def open_keys(self) -> set[Hashable]:
        """Keys of the jobs without a result."""
        with self._change:
            return self._open_keys()

    def submit(self, key: Hashable, job: Job) -> list[Job]:
        """Queue a job in the place of those with its key.

        Returns:
            The replaced jobs without a result, at most two; `job` itself after `close`.
        """
        with self._change:
            if self._closed:
                return [job]
            waiting = self._waiting.get(key)
            # What was delivered goes on, until this job has a result, too.
            displaced = [] if self._delivered else self._stop_running(key)
            self._waiting[key] = job  # an existing key keeps its turn
            self._change.notify_all()
        return displaced + ([waiting] if waiting is not None else [])

    def submit_if_free(self, key: Hashable, job: Job) -> bool:
        """Queue a job unless one of its key has no result yet; say whether it did."""
        with self._change:
            if self._closed or key in self._open_keys():
                return False
            self._waiting[key] = job
            self._change.notify_all()
        return True

    def cancel(self, key: Hashable) -> list[Job]:
        """Stop the jobs of a key; return those without a result."""
        with self._change:
            displaced = self._stop_running(key)
            if key in self._waiting:
                displaced.append(self._waiting.pop(key))
        return displaced

    def cancel_job(self, job: Job) -> bool:
        """Stop one job; say whether it had no result yet."""
        with self._change:
            for key, waiting in self._waiting.items():
                if waiting is job:
                    del self._waiting[key]
                    return True
            if self._running is None or self._running[1] is not job or self._delivered:
                return False
            return bool(self._stop_running(self._running[0]))

    def close(self) -> list[Job]:
        """Stop everything and wait until the thread has ended.

        Returns:
            The jobs without a result.
        """
        with self._change:
            displaced = self._stop_running(self._running[0]) if self._running else []
            displaced += self._waiting.values()
            self._waiting = {}
            self._closed = True
            self._change.notify_all()
        self._thread.join()
        return displaced

    def _open_keys(self) -> set[Hashable]:
        running = {self._running[0]} if self._running and not self._delivered else set()
        return running | set(self._waiting)

    def _stop_running(self, key: Hashable) -> list[Job]:
        """Stop the running job if it has this key; return it if it has no result yet."""
        if self._running is None or self._running[0] != key or self._running[1].stop.is_set():
            return []
        job = self._running[1]
        job.stop.set()
        self._on_stop()
        return [] if self._delivered else [job]

    def _run(self) -> None:
        if sys.platform == "linux":
            os.nice(_NICE)  # of this thread; elsewhere it would be the whole process
        while (job := self._next()) is not None:
            result: Result | Exception
            try:
                result = self._work(job)
            except Exception as error:
                result = error
            with self._change:
                self._delivered = not job.stop.is_set()
            if self._delivered:
                for step in (self._deliver, self._follow_up):
                    try:
                        step(job, result)
                    except Exception as error:
                        self._on_error(error)
            del result  # it may hold images
            with self._change:
                self._running = None

    def _next(self) -> Job | None:
        """Wait for a job and start it; None after `close`."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            key, job = next(iter(self._waiting.items()))
            del self._waiting[key]
            self._running, self._delivered = (key, job), False
            return job
