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
    returns. After its delivery a job may go on in `follow_up` until the next one comes.

    work: called in the thread with the job and an event that is set when the job is no longer
    wanted; it should return or raise soon after.
    deliver: called in the thread, for wanted jobs only; must not raise.
    follow_up: called in the thread after deliver, with the job, its result and its event; must
    not raise.
    on_stop: called by whoever set a job's event, to wake what waits for something else.
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
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._delivered: list[Job] = []
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

    def cancel(self) -> tuple[list[Job], list[Job]]:
        """Stop everything; return the jobs without result, and the delivered one that went on."""
        with self._change:
            followed = self._delivered
            return self._displace(), followed

    def close(self) -> list[Job]:
        """Cancel, and wait until the thread has ended; return the jobs without result."""
        with self._change:
            displaced = self._displace()
            self._closed = True
            self._change.notify()
        self._thread.join()
        return displaced

    def _displace(self) -> list[Job]:
        displaced = self._running + self._waiting
        self._running, self._waiting, self._delivered = [], [], []
        self._stop.set()
        self._on_stop()
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
                params = not stop.is_set()
                if params:
                    self._running, self._delivered = [], [job]
            if params:
                self._deliver(job, result)
                self._follow_up(job, result, stop)
            with self._change:
                self._delivered = []
