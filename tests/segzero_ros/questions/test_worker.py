"""The worker: a slot of one, and exactly one end for every job."""

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from segzero_ros.questions.worker import Worker
from tests.segzero_ros.waiting import DEADLINE, wait_until


@dataclass(eq=False)
class Job:
    """Work that runs until it is released or stopped."""

    name: str
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)


def run(job: Job, stop: threading.Event) -> str:
    job.started.set()
    wait_until(lambda: job.released.is_set() or stop.is_set(), f"the end of {job.name}")
    if stop.is_set():
        job.stopped.set()
        raise RuntimeError("stopped")
    return job.name.upper()


class Bench:
    """A worker whose deliveries can be waited for."""

    def __init__(self) -> None:
        self.delivered: queue.Queue[tuple[str, object]] = queue.Queue()
        self.worker: Worker[Job, str] = Worker(
            run, lambda job, result: self.delivered.put((job.name, result))
        )

    def start(self, name: str) -> Job:
        job = Job(name)
        self.worker.submit(job)
        assert job.started.wait(DEADLINE)
        return job


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.worker.close()


def test_a_finished_job_is_delivered(bench: Bench) -> None:
    bench.start("a").released.set()
    assert bench.delivered.get(timeout=DEADLINE) == ("a", "A")


def test_a_newer_job_stops_the_running_one(bench: Bench) -> None:
    first, second = bench.start("first"), Job("second")
    assert bench.worker.submit(second) == [first]
    second.released.set()
    assert bench.delivered.get(timeout=DEADLINE) == ("second", "SECOND")
    assert first.stopped.is_set()
    assert bench.delivered.empty()


def test_a_newer_job_takes_the_place_of_the_waiting_one(bench: Bench) -> None:
    # A job that ignores its stop keeps the next ones waiting.
    blocked, go = threading.Event(), threading.Event()
    delivered: queue.Queue[int] = queue.Queue()

    def work(job: int, stop: threading.Event) -> int:
        if job == 0:
            blocked.set()
            assert go.wait(DEADLINE)
        return job

    worker: Worker[int, int] = Worker(work, lambda job, result: delivered.put(job))
    worker.submit(0)
    assert blocked.wait(DEADLINE)
    assert worker.submit(1) == [0]
    assert worker.submit(2) == [1]
    go.set()
    assert delivered.get(timeout=DEADLINE) == 2
    worker.close()
    assert delivered.empty()


def test_cancel_returns_what_it_stopped(bench: Bench) -> None:
    job = bench.start("a")
    assert bench.worker.cancel() == ([job], None)
    assert job.stopped.wait(DEADLINE)
    assert bench.worker.cancel() == ([], None)


def test_an_error_is_delivered_and_the_worker_goes_on() -> None:
    delivered: queue.Queue[object] = queue.Queue()

    def work(job: int, stop: threading.Event) -> float:
        return 1 / job

    worker: Worker[int, float] = Worker(work, lambda job, result: delivered.put(result))
    worker.submit(0)
    assert isinstance(delivered.get(timeout=DEADLINE), ZeroDivisionError)
    worker.submit(2)
    assert delivered.get(timeout=DEADLINE) == 0.5
    worker.close()


def test_close_stops_the_job_and_ends_the_thread(bench: Bench) -> None:
    before = threading.active_count()
    job = bench.start("a")
    assert bench.worker.close() == [job]
    assert job.stopped.is_set()
    assert threading.active_count() == before - 1
    assert bench.worker.close() == []


def test_a_job_submitted_after_close_comes_straight_back(bench: Bench) -> None:
    bench.worker.close()
    late = Job("late")
    assert bench.worker.submit(late) == [late]
    assert not late.started.is_set()


def test_every_job_of_a_storm_ends_exactly_once() -> None:
    ends: Counter[int] = Counter()
    last = threading.Event()

    def deliver(job: int, result: int | Exception) -> None:
        ends[job] += 1
        if job == 1999:
            last.set()

    worker: Worker[int, int] = Worker(lambda job, stop: job, deliver)
    for job in range(2000):
        ends.update(worker.submit(job))
    assert last.wait(DEADLINE)
    worker.close()
    assert ends == Counter(range(2000))
