"""Failures that no request waits for: told to every page once, however often they come."""

import logging
import threading
import time
from collections.abc import Callable

from segzero_console.backend import error_text

_LOG = logging.getLogger(__name__)
AGAIN = 60.0
"""Seconds after which the same failure is told again."""
_KNOWN = 50


class Troubles:
    """Tells about failures; for any thread.

    Args:
        tell: Called with a line for people.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}  # when, in seconds of time.monotonic()

    def add(self, what: str, error: Exception) -> None:
        """Tell what failed, and log it with its traceback, unless that was told just before."""
        line, now = f"{what}: {error_text(error)}", time.monotonic()
        with self._lock:
            if now - self._told.get(line, now - AGAIN) < AGAIN:
                return
            self._told[line] = now
            while len(self._told) > _KNOWN:
                del self._told[next(iter(self._told))]
        _LOG.error(what, exc_info=error)
        self._tell(line)
