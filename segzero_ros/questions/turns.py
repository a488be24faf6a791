"""Turns of threads that share something, in the order in which they asked."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from segzero.errors import Cancelled


class Turns:
    """A lock that threads get in the order in which they asked for it.

    So threads that ask for it again and again have it round robin.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._line: deque[object] = deque()  # the first one has the turn

    @property
    def taken(self) -> bool:
        """Whether somebody has the turn."""
        return bool(self._line)

    @contextmanager
    def take(self, stop: threading.Event) -> Iterator[None]:
        """Wait for the turn; it ends with the block.

        Args:
            stop: Set it, and call `wake`, to end the waiting.

        Yields:
            Nothing.

        Raises:
            Cancelled: `stop` was set before the turn came.
        """
        ticket = object()
        try:
            with self._change:
                self._line.append(ticket)
                self._change.wait_for(lambda: self._line[0] is ticket or stop.is_set())
            if stop.is_set():
                raise Cancelled("stopped before its turn came")
            yield
        finally:
            with self._change:
                self._line.remove(ticket)
                self._change.notify_all()

    def wake(self) -> None:
        """Let those who wait look at their `stop` again."""
        with self._change:
            self._change.notify_all()
