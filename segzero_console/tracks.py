"""Followed objects as the page gets them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segzero.tracks import Track
from segzero.types import SegmentedObject, TrackedObject
from segzero_console.messages import ShownObject


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
