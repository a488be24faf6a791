"""Ids that keep their meaning: one object, one id, as long as it is followed."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segzero.types import SegmentedObject, TrackedObject
from segzero_console.messages import ShownObject

MAX_ID = 65535


@dataclass(frozen=True, slots=True)
class Track:
    """What an object keeps as long as it is followed.

    Attributes:
        id: Its value in the mask.
        track_id: Given once while the server runs, from 1.
        goal: Name of the goal that it was found for.
        label: A short name.
    """

    id: int
    track_id: int
    goal: str
    label: str


class TrackIds:
    """Gives ids to objects; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[int, Track] = {}
        self._count = 0

    def assign(self, goal: str, labels: Sequence[str], kept: Sequence[int | None]) -> list[Track]:
        """Give each object the id of the followed one that it is, or the lowest free one."""
        with self._lock:
            return [
                self._assign(goal, label, number)
                for label, number in zip(labels, kept, strict=True)
            ]

    def release(self, tracks: Iterable[Track]) -> None:
        """Take back the ids of objects that are followed no longer."""
        with self._lock:
            for track in tracks:
                known = self._used.get(track.id)
                if known and known.track_id == track.track_id:
                    del self._used[track.id]

    def _assign(self, goal: str, label: str, kept: int | None) -> Track:
        known = self._used.get(kept) if kept is not None else None
        if known and known.goal == goal:
            track = Track(known.id, known.track_id, goal, label)
        else:
            number = next(n for n in range(1, MAX_ID + 1) if n not in self._used)
            self._count += 1
            track = Track(number, self._count, goal, label)
        self._used[track.id] = track
        return track


def shown(
    tracks: Sequence[Track], objects: Sequence[SegmentedObject | TrackedObject]
) -> tuple[ShownObject, ...]:
    """Describe objects, in the order of their tracks; one that isn't there is lost."""
    by_id = {item.id: item for item in objects}
    return tuple(_shown(track, by_id.get(track.id)) for track in tracks)


def draw_ids(
    objects: Sequence[SegmentedObject | TrackedObject], size: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Draw masks into one (H, W) array of ids; where they overlap, the best score counts."""
    width, height = size
    highest = max((item.id for item in objects), default=0)
    ids: NDArray = np.zeros((height, width), np.uint8 if highest < 256 else np.uint16)
    for item in sorted(objects, key=lambda item: item.score):
        ids[item.mask] = item.id
    return ids


def _shown(track: Track, item: SegmentedObject | TrackedObject | None) -> ShownObject:
    box = item.box if item else None
    return ShownObject(
        id=track.id,
        track_id=track.track_id,
        goal=track.goal,
        label=track.label,
        box=(box.x1, box.y1, box.x2, box.y2) if box else (),
        score=item.score if item else 0.0,
        lost=box is None,
    )
