"""How fast a counter grows."""

import time


class Rate:
    """The rate of a counter between two calls."""

    def __init__(self) -> None:
        self._count = 0
        self._time = time.monotonic()

    def update(self, count: int) -> float:
        """Return the increase per second since the last call."""
        now = time.monotonic()
        rate = (count - self._count) / max(now - self._time, 1e-3)
        self._count, self._time = count, now
        return max(rate, 0.0)
