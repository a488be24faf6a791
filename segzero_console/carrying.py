"""Rows of followed frames: masks that the tracker carries on through a video."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from segzero_console.frames import Picture
from segzero_console.results import StoredResult
from segzero_console.rows import RowWriter

_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Carried:
    question: str
    every: int
    on_saved: Callable[[int], None]
    last: int | None = None  # index of the picture of the last row


class Carrying:
    """Saves every n-th followed frame of a goal; for any thread.

    Args:
        rows: Gets the rows.
    """

    def __init__(self, rows: RowWriter) -> None:
        self._rows = rows
        self._lock = threading.Lock()
        self._goals: dict[str, _Carried] = {}

    @property
    def active(self) -> bool:
        """Whether any goal's frames are saved."""
        return bool(self._goals)

    def start(self, goal: str, question: str, every: int, on_saved: Callable[[int], None]) -> None:
        """Begin with the next followed frame.

        Args:
            goal: Whose objects are saved.
            question: Of the rows.
            every: Frames from one row to the next.
            on_saved: Called with the number of rows, from another thread.
        """
        with self._lock:
            self._goals[goal] = _Carried(question, every, on_saved)

    def stop(self, goal: str | None) -> None:
        """End it for a goal, or for all."""
        with self._lock:
            for name in [name for name in self._goals if goal in (None, name)]:
                del self._goals[name]

    def add(self, stored: StoredResult, picture: Picture) -> None:
        """Save the frame for the goals whose turn it is; frames where nothing is seen are not."""
        if stored.result.state != "tracked":
            return
        with self._lock:
            goals = list(self._goals.items())
        for goal, carried in goals:
            seen = [o.id for o in stored.result.objects if o.goal == goal and not o.lost]
            due = carried.last is None or abs(picture.index - carried.last) >= carried.every
            if not seen or not due:
                continue
            try:
                masks = [mask for mask in stored.masks(seen) if mask.any()]
                rows = self._rows.save(picture.stamp, picture.rgb, carried.question, masks)
            except Exception:
                _LOG.exception("a followed frame could not be saved")
                continue
            carried.last = picture.index
            carried.on_saved(rows)
