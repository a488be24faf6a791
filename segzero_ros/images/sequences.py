"""Messages that were published but never received, counted for each writer of a topic."""

from dataclasses import dataclass

_FASTEST = 200.0
"""Messages per second that no camera exceeds."""
_SLACK = 10
"""Messages that a writer may be ahead of that, because they come in bursts."""
_LONGEST_PAUSE = 10.0
"""Seconds after which a writer that sent nothing is forgotten."""


@dataclass(slots=True)
class _Writer:
    sequence: int
    time: float


class LossCounter:
    """Counts the gaps in the sequence numbers of one or several writers.

    rclpy doesn't say which writer sent a message. So a number continues the nearest lower one that
    it can have come from; if there is none, it is a new writer's.
    """

    def __init__(self) -> None:
        self._writers: list[_Writer] = []

    def add(self, sequence: int, time: float) -> int:
        """Take a received message into account.

        Args:
            sequence: Its writer's count of its messages.
            time: When it came, in seconds of `time.monotonic()`.

        Returns:
            How many messages of its writer were lost before it.
        """
        self._writers = [item for item in self._writers if time - item.time < _LONGEST_PAUSE]
        before = [
            item
            for item in self._writers
            if 0 < sequence - item.sequence <= _FASTEST * (time - item.time) + _SLACK
        ]
        if not before:
            self._writers.append(_Writer(sequence, time))
            return 0
        writer = max(before, key=lambda item: item.sequence)
        lost = sequence - writer.sequence - 1
        writer.sequence, writer.time = sequence, time
        return lost
