"""One thread that works on the newest job only, so that no callback waits for a model."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Worker(Generic[Job, Result]):
    """A thread with a queue of length one.

    Every submitted job ends in exactly one of two ways: `deliver(job, result)` is called with what
    `work` returned or raised, or a later `submit`, `cancel` or `close` returns the job. After its
    delivery a job may go on in `follow_up` until the next one comes.

    Args:
        work: Called in the thread with the job and its stop event. Once the event is set, it
            should return or raise soon.
        deliver: Called in the thread for jobs that were not stopped; must not raise.
        follow_up: Called in the thread after `deliver`, with the job, its result and its stop
            event; must not raise.
        on_stop: Called by the thread that set a stop event, to wake a `work` that waits for
            something else.
    """

    def __init__(
        self,
        work: Callable[[Job, threading.Event], Result],
        deliver: Callable[[Job, Result | Exception], None],
        follow_up: Callable[[Job, Result | Exception, threading.Event], None] = lambda *_: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._deliver = deliver
        self._follow_up = follow_up
        self._on_stop = on_stop
        self._change = threading.Condition()
        self._waiting: Job | None = None
        self._running: Job | None = None
        self._delivered: Job | None = None
        self._stop = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="segzero-worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> list[Job]:
        """Let `job` be next, and stop the others.

        Returns:
            The replaced jobs without a result, at most two; `job` itself after `close`.
        """
        with self._change:
            if self._closed:
                return [job]
            displaced = self._displace()
            self._waiting = job
            self._change.notify()
        return displaced

    def cancel(self) -> tuple[list[Job], Job | None]:
        """Stop everything.

        Returns:
            The jobs without a result, and the delivered job that was in `follow_up`.
        """
        with self._change:
            delivered = self._delivered
            return self._displace(), delivered

    def close(self) -> list[Job]:
        """Stop everything and wait until the thread has ended.

        Returns:
            The jobs without a result.
        """
        with self._change:
            displaced = self._displace()
            self._closed = True
            self._change.notify()
        self._thread.join()
        return displaced

    def _displace(self) -> list[Job]:
        displaced = [job for job in (self._running, self._waiting) if job is not None]
        self._running = self._waiting = self._delivered = None
        self._stop.set()
        self._on_stop()
        return displaced

    def _run(self) -> None:
        while (started := self._next()) is not None:
            job, stop = started
            result: Result | Exception
            try:
                result = self._work(job, stop)
            except Exception as error:
                result = error
            with self._change:
                stopped = stop.is_set()
                if not stopped:
                    self._running, self._delivered = None, job
            if not stopped:
                self._deliver(job, result)
                self._follow_up(job, result, stop)
            with self._change:
                self._delivered = None

    def _next(self) -> tuple[Job, threading.Event] | None:
        """Wait for a job and start it; None after `close`."""
        with self._change:
            self._change.wait_for(lambda: self._waiting is not None or self._closed)
            if self._closed or self._waiting is None:
                return None
            self._running, self._waiting = self._waiting, None
            self._stop = threading.Event()
            return self._running, self._stop
