"""One thread that works on the newest job only, so that no callback ever waits for a model."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Worker(Generic[Job, Result]):
    """A thread and a slot of one.

    Every submitted job ends in exactly one of two ways: `deliver(job, result)` is called with what
    `work` returned or raised, or the job is in the list that a later `submit` or `cancel`
    returns.

    work: called in the thread with the job and an event that is set when the job is no longer
    wanted; it should return or raise soon after.
    deliver: called in the thread, for wanted jobs only; must not raise.
    """

    def __init__(
        self,
        work: Callable[[Job, threading.Event], Result],
        deliver: Callable[[Job, Result | Exception], None],
    ) -> None:
        self._work = work
        self._deliver = deliver
        self._change = threading.Condition()
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._stop = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="segzero-worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> list[Job]:
        """Let `job` be next; stop and return the jobs whose place it takes, at most two.

        After `close` it is `job` itself that comes back.
        """
        with self._change:
            if self._closed:
                return [job]
            displaced = self._displace()
            self._waiting = [job]
            self._change.notify()
        return displaced

    def cancel(self) -> list[Job]:
        """Stop and return the running and the waiting job."""
        with self._change:
            return self._displace()

    def close(self) -> list[Job]:
        """Cancel, and wait until the thread has ended."""
        with self._change:
            displaced = self._displace()
            self._closed = True
            self._change.notify()
        self._thread.join()
        return displaced

    def _displace(self) -> list[Job]:
        displaced = self._running + self._waiting
        self._running, self._waiting = [], []
        self._stop.set()
        return displaced

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.pop()
                self._running = [job]
                stop = self._stop = threading.Event()
            result: Result | Exception
            try:
                result = self._work(job, stop)
            except Exception as error:
                result = error
            with self._change:
                wanted = not stop.is_set()
                self._running = []
            if wanted:
                self._deliver(job, result)
