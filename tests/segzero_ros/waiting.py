"""Waiting for a condition, with a deadline that fails the test."""

import threading
import time
from collections.abc import Callable

DEADLINE = 120.0
"""Seconds after which a test gives up; long, because a busy machine is slow, not wrong."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return once `condition()` holds; fail when `DEADLINE` has passed."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE:.0f} s for {what}"
        pause.wait(0.005)
