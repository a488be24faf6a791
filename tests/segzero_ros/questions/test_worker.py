"""The worker: one job for each key, in turn, and exactly one end for every job."""

import os
import queue
import sys
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
    stop: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


def run(job: Job) -> str:
    job.started.set()
    if job.name == "raising":
        raise ZeroDivisionError
    wait_until(lambda: job.released.is_set() or job.stop.is_set(), f"the end of {job.name}")
    if job.stop.is_set():
        raise RuntimeError("stopped")
    return job.name.upper()


class Bench:
    """A worker whose deliveries can be waited for."""

    def __init__(self) -> None:
        self.delivered: queue.Queue[tuple[str, object]] = queue.Queue()
        self.errors: queue.Queue[Exception] = queue.Queue()
        self.following = threading.Event()
        self.worker: Worker[Job, str] = Worker(
            run, self.deliver, self.follow, on_error=self.errors.put
        )

    def deliver(self, job: Job, result: str | Exception) -> None:
        if job.name == "undeliverable":
            raise ValueError(job.name)
        self.delivered.put((job.name, result))

    def follow(self, job: Job, result: str | Exception) -> None:
        if job.name == "followed":
            self.following.set()
            wait_until(job.stop.is_set, "the end of the following")
            self.following.clear()

    def start(self, name: str, key: str = "") -> Job:
        job = Job(name)
        self.worker.submit(key, job)
        assert job.started.wait(DEADLINE)
        return job

    def next(self) -> tuple[str, object]:
        return self.delivered.get(timeout=DEADLINE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.worker.close()


def test_a_finished_job_is_delivered(bench: Bench) -> None:
    bench.start("a").released.set()
    assert bench.next() == ("a", "A")


def test_a_newer_job_of_the_same_key_stops_the_running_one(bench: Bench) -> None:
    first, second = bench.start("first"), Job("second")
    assert bench.worker.submit("", second) == [first]
    second.released.set()
    assert bench.next() == ("second", "SECOND")
    assert first.stop.is_set()
    assert bench.delivered.empty()


def test_a_newer_job_takes_the_turn_of_the_waiting_one_with_its_key(bench: Bench) -> None:
    running = bench.start("running", "a")
    old, other, new = Job("old"), Job("other"), Job("new")
    assert bench.worker.submit("b", old) == []
    assert bench.worker.submit("c", other) == []
    assert bench.worker.submit("b", new) == [old]
    for job in (running, new, other):
        job.released.set()
    assert [bench.next()[0] for _ in range(3)] == ["running", "new", "other"]


def test_jobs_of_other_keys_are_done_in_turn_and_left_alone(bench: Bench) -> None:
    running = bench.start("a", "a")
    for name in "bcd":
        job = Job(name)
        job.released.set()
        assert bench.worker.submit(name, job) == []
    assert bench.worker.open_keys() == set("abcd")
    running.released.set()
    assert [bench.next()[0] for _ in range(4)] == list("abcd")
    assert not running.stop.is_set()


def test_a_goal_that_asks_all_the_time_does_not_keep_another_waiting(bench: Bench) -> None:
    first = bench.start("eager 0", "eager")
    other = Job("other")
    other.released.set()
    bench.worker.submit("patient", other)
    assert bench.worker.submit("eager", Job("eager 1")) == [first]
    assert bench.next()[0] == "other"


def test_cancel_returns_what_it_stopped_and_stops_no_other_key(bench: Bench) -> None:
    running, waiting = bench.start("a", "a"), Job("b")
    bench.worker.submit("b", waiting)
    assert bench.worker.cancel("b") == [waiting]
    assert not running.stop.is_set()
    assert bench.worker.cancel("a") == [running]
    assert running.stop.is_set()
    assert bench.worker.cancel("a") == []


def test_a_job_is_cancelled_by_itself_alone(bench: Bench) -> None:
    running, waiting, unknown = bench.start("a", "a"), Job("b"), Job("c")
    bench.worker.submit("b", waiting)
    assert not bench.worker.cancel_job(unknown)
    assert bench.worker.cancel_job(waiting)
    assert not bench.worker.cancel_job(waiting)
    assert bench.worker.cancel_job(running)
    assert running.stop.is_set()


def test_a_repeated_job_waits_for_nobody(bench: Bench) -> None:
    running, again = bench.start("a", "a"), Job("again")
    assert not bench.worker.submit_if_free("a", again)
    running.released.set()
    assert bench.next() == ("a", "A")
    wait_until(lambda: not bench.worker.busy, "the end of the job")
    assert bench.worker.submit_if_free("a", again)
    again.released.set()
    assert bench.next() == ("again", "AGAIN")


def test_what_was_delivered_goes_on_until_it_is_cancelled(bench: Bench) -> None:
    followed, later = bench.start("followed"), Job("later")
    followed.released.set()
    assert bench.next()[0] == "followed"
    assert bench.following.wait(DEADLINE)
    assert bench.worker.submit("", later) == []  # it has its result
    assert not followed.stop.is_set()
    assert not bench.worker.cancel_job(followed)
    assert not followed.stop.is_set()
    later.released.set()
    assert bench.worker.cancel("") == [later]
    assert followed.stop.is_set()


def test_an_error_is_delivered_and_the_worker_goes_on(bench: Bench) -> None:
    bench.start("raising")
    name, error = bench.next()
    assert (name, type(error)) == ("raising", ZeroDivisionError)
    bench.start("a").released.set()
    assert bench.next() == ("a", "A")


def test_a_delivery_that_raises_is_told_and_the_worker_goes_on(bench: Bench) -> None:
    bench.start("undeliverable").released.set()
    assert str(bench.errors.get(timeout=DEADLINE)) == "undeliverable"
    bench.start("a").released.set()
    assert bench.next() == ("a", "A")


def test_close_stops_every_job_and_ends_the_thread(bench: Bench) -> None:
    before = threading.active_count()
    running, waiting = bench.start("a", "a"), Job("b")
    bench.worker.submit("b", waiting)
    assert bench.worker.close() == [running, waiting]
    assert running.stop.is_set()
    assert threading.active_count() == before - 1
    assert bench.worker.close() == []


def test_a_job_submitted_after_close_comes_straight_back(bench: Bench) -> None:
    bench.worker.close()
    late = Job("late")
    assert bench.worker.submit("", late) == [late]
    assert not late.started.is_set()


def test_every_job_of_a_storm_ends_exactly_once() -> None:
    ends: Counter[str] = Counter()
    last = threading.Event()

    def deliver(job: Job, result: str | Exception) -> None:
        ends[job.name] += 1
        if job.name == "1999":
            last.set()

    worker: Worker[Job, str] = Worker(lambda job: job.name, deliver)
    for number in range(2000):
        ends.update(job.name for job in worker.submit(number % 3, Job(str(number))))
    assert last.wait(DEADLINE)
    ends.update(job.name for job in worker.close())
    assert ends == Counter(map(str, range(2000)))


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere threads have no priority of their own"
)
def test_the_thread_and_those_that_it_starts_yield_to_the_others() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    found: queue.Queue[int] = queue.Queue()

    def look(_: Job) -> None:
        found.put(os.getpriority(os.PRIO_PROCESS, 0))

    def work(job: Job) -> None:
        look(job)
        started = threading.Thread(target=look, args=(job,))
        started.start()
        started.join()

    worker: Worker[Job, None] = Worker(work, lambda *_: None)
    worker.submit("", Job("a"))
    lower = min(own + 10, 19)
    assert [found.get(timeout=DEADLINE) for _ in range(2)] == [lower, lower]
    worker.close()
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
