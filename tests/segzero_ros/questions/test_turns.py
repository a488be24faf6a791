"""Turns come in the order of asking, and waiting for one can be stopped."""

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from segzero.errors import Cancelled
from segzero_ros.questions.turns import Turns
from tests.segzero_ros.waiting import DEADLINE, wait_until

NEVER = threading.Event()


class Bench:
    """Threads whose names come into `had` when they have their turn, which ends with `go`."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.had: queue.Queue[str] = queue.Queue()
        self._go: queue.Queue[None] = queue.Queue()
        self._threads = ThreadPoolExecutor(8)

    def start(self, name: str, stop: threading.Event = NEVER, *, times: int = 1) -> Future[None]:
        """Begin to wait for the turn; return once it is in line."""
        before = len(self.turns._line)
        future = self._threads.submit(self._work, name, stop, times)
        wait_until(lambda: len(self.turns._line) > before, f"{name} in line")
        return future

    def go(self) -> None:
        self._go.put(None)

    def order(self, count: int) -> list[str]:
        names = []
        for _ in range(count):
            names.append(self.had.get(timeout=DEADLINE))
            self.go()
        return names

    def _work(self, name: str, stop: threading.Event, times: int) -> None:
        for _ in range(times):
            with self.turns.take(stop):
                self.had.put(name)
                self._go.get(timeout=DEADLINE)
                if name == "raising":
                    raise ZeroDivisionError


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_turn_comes_in_the_order_of_asking(bench: Bench) -> None:
    for name in "abcd":
        bench.start(name)
    assert bench.order(4) == ["a", "b", "c", "d"]


def test_who_asks_again_and_again_has_every_second_turn(bench: Bench) -> None:
    bench.start("busy", times=3)
    bench.start("other", times=2)
    assert bench.order(5) == ["busy", "other", "busy", "other", "busy"]


def test_an_error_passes_the_turn_on(bench: Bench) -> None:
    failed = bench.start("raising")
    bench.start("next")
    assert bench.order(2) == ["raising", "next"]
    assert isinstance(failed.exception(DEADLINE), ZeroDivisionError)


@pytest.mark.parametrize("stops", [("second",), ("third",), ("second", "third")])
def test_who_is_stopped_leaves_the_line(bench: Bench, stops: tuple[str, ...]) -> None:
    events = {name: threading.Event() for name in ("second", "third", "fourth")}
    bench.start("first")
    waiting = {name: bench.start(name, stop) for name, stop in events.items()}
    for name in stops:
        events[name].set()
        bench.turns.wake()
        assert isinstance(waiting[name].exception(DEADLINE), Cancelled)
    left = ["first", *(name for name in events if name not in stops)]
    assert bench.order(len(left)) == left


def test_who_was_stopped_before_has_no_turn() -> None:
    stop = threading.Event()
    stop.set()
    turns = Turns()
    with pytest.raises(Cancelled), turns.take(stop):
        raise AssertionError
    assert not turns.taken
