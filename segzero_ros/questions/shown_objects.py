"""Objects that somebody shows: their masks, their ids and a tracker that follows them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from segzero.pipeline import SegZero
from segzero.tracks import Track, TrackIds
from segzero.types import SegmentedObject
from segzero_ros.query import ShownObjects, TooManyGoals

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker


def draw_shown(
    segzero: SegZero, ids: TrackIds, shown: ShownObjects, limit: int
) -> tuple[tuple[SegmentedObject, ...], tuple[Track, ...], "Tracker"]:
    """Draw what is shown in its query's frame.

    Args:
        segzero: The loaded models.
        ids: Gives ids to the objects.
        shown: The objects.
        limit: The highest id.

    Returns:
        The objects, their tracks, and a tracker that stands at the frame.

    Raises:
        BadImage: The frame is unusable.
        BadPrompt: An object can't be drawn.
        CheckpointError: The segmenter can't follow.
        ConversionError: The frame holds no usable image.
        DeviceOutOfMemory: The memory is full.
        TooManyGoals: The mask has no more ids.
    """
    query, frame = shown.query, shown.query.frame
    assert frame is not None  # it was checked when the objects were shown
    image = frame.pixels()
    objects = segzero.segment(image, shown.prompts)
    labels = [item.label for item in shown.prompts]
    tracks = tuple(t for t in ids.assign(query.goal, labels, [None] * len(labels), limit) if t)
    try:
        if len(tracks) < len(objects):
            raise TooManyGoals("the mask has no more ids: remove objects, or use a mono16 mask")
        objects = tuple(
            replace(item, id=track.id) for item, track in zip(objects, tracks, strict=True)
        )
        return objects, tracks, segzero.track(image, objects)
    except Exception:
        ids.release(tracks)
        raise
