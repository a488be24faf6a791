"""Rows of followed frames: masks that the tracker carries on through a video."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from segzero.errors import SegZeroError
from segzero_console.frames import Picture
from segzero_console.results import StoredResult
from segzero_console.rows import RowWriter


@dataclass(slots=True, eq=False)
class _Carried:
    question: str
    every: int
    on_saved: Callable[[int], None]
    on_failed: Callable[[Exception], None]
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

    def start(
        self,
        goal: str,
        question: str,
        every: int,
        on_saved: Callable[[int], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        """Begin with the next followed frame.

        Args:
            goal: Whose objects are saved.
            question: Of the rows.
            every: Frames from one row to the next.
            on_saved: Called with the number of rows, from another thread.
            on_failed: Called once if a row can't be written, which ends it; from another thread.
        """
        with self._lock:
            self._goals[goal] = _Carried(question, every, on_saved, on_failed)

    def stop(self, goal: str | None) -> None:
        """End it for a goal, or for all."""
        with self._lock:
            for name in [name for name in self._goals if goal in (None, name)]:
                del self._goals[name]

    def add(self, stored: StoredResult, picture: Picture) -> None:
        """Save the frame for the goals whose turn it is; frames where nothing is seen are not.

        Raises:
            SegZeroError: The masks make no row; that frame is left out.
        """
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
            except SegZeroError:
                raise
            except Exception as error:
                self._fail(goal, carried, error)
                continue
            carried.last = picture.index
            carried.on_saved(rows)

    def _fail(self, goal: str, carried: _Carried, error: Exception) -> None:
        with self._lock:
            if self._goals.get(goal) is not carried:
                return  # two frames failed at once, or somebody has stopped it
            del self._goals[goal]
        carried.on_failed(error)
