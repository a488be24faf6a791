"""Ids that keep their meaning: one object, one id, as long as it is followed."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_ID = 65535
"""Highest id that a mask of 16 bits holds."""


@dataclass(frozen=True, slots=True)
class Track:
    """What an object keeps as long as it is followed.

    Attributes:
        id: Its value in the mask.
        track_id: Counts the objects of the program's life, from 1.
        goal: Name of the goal that it was found for.
        label: A short name.
    """

    id: int
    track_id: int
    goal: str
    label: str


class TrackIds:
    """Gives ids to objects; for any thread.

    An object's `id` is the lowest number that no other object has, so that it fits the mask. Its
    `track_id` is given once in the program's life.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[int, Track] = {}  # by id
        self._count = 0

    def assign(
        self, goal: str, labels: Sequence[str], kept: Sequence[int | None], limit: int = MAX_ID
    ) -> list[Track | None]:
        """Give ids to the objects of an answer.

        Args:
            goal: The answer's goal.
            labels: A short name for each object.
            kept: For each object, the id of the followed object that it is; None for a new one.
            limit: The highest id.

        Returns:
            A track for each object; None where no id is left.
        """
        with self._lock:
            return [
                self._assign(goal, label, number, limit)
                for label, number in zip(labels, kept, strict=True)
            ]

    def release(self, tracks: Iterable[Track]) -> None:
        """Take back the ids of objects that are followed no longer."""
        with self._lock:
            for track in tracks:
                known = self._used.get(track.id)
                if known and known.track_id == track.track_id:
                    del self._used[track.id]

    def _assign(self, goal: str, label: str, kept: int | None, limit: int) -> Track | None:
        known = self._used.get(kept) if kept is not None else None
        if known and known.goal == goal:  # not forgotten meanwhile
            track = Track(known.id, known.track_id, goal, label)
        else:
            number = next((n for n in range(1, limit + 1) if n not in self._used), None)
            if number is None:
                return None
            self._count += 1
            track = Track(number, self._count, goal, label)
        self._used[track.id] = track
        return track
