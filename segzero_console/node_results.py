"""Messages of a perception node as results for the page, and prompts as messages for the node."""

import math
from collections.abc import Collection, Sequence

import numpy as np
from geometry_msgs.msg import Point32
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from segzero.types import Box, ObjectPrompt, Point, SegmentedObject
from segzero_console.frames import Picture
from segzero_console.messages import Result, ShownObject
from segzero_ros.client import state_name
from segzero_ros.images.conversions import from_array
from segzero_ros.msg import ObjectPrompt as ObjectPromptMessage
from segzero_ros.msg import Segmentation
from segzero_ros.msg import SegmentedObject as SegmentedObjectMessage
from segzero_ros.results.messages import mask_ids

_ERRORS = {
    getattr(Segmentation, f"ERROR_{word.upper()}"): word
    for word in (
        "no_image",
        "stale_image",
        "bad_image",
        "bad_question",
        "stopped",
        "replaced",
        "cancelled",
        "too_many_goals",
        "malformed_answer",
        "model",
        "out_of_memory",
        "server",
        "following_ended",
    )
}


def stamp_ns(header: Header) -> int:
    """When an image was taken, in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def set_stamp(header: Header, stamp: int) -> None:
    """Write nanoseconds into a header."""
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)


def image_message(picture: Picture) -> Image:
    """A picture as the node takes it."""
    header = Header()
    set_stamp(header, picture.stamp)
    return from_array(picture.rgb, header)


def error_word(code: int) -> str:
    """The word for an error code of the node; empty for none."""
    return _ERRORS.get(code, "model") if code else ""


class ResultReader:
    """Reads results; it remembers what the lost objects were. For one thread at a time.

    Args:
        hidden: Goals that are not shown.
    """

    def __init__(self, hidden: Collection[str] = ()) -> None:
        self._hidden = hidden
        self._known: dict[int, tuple[int, str, str]] = {}  # by id: track id, goal, label

    def read(self, message: Segmentation) -> Result:
        """Read one result of ~/segmentation."""
        objects = [item for item in message.objects if item.goal not in self._hidden]
        for item in objects:
            self._known[int(item.id)] = int(item.track_id), str(item.goal), str(item.label)
        lost = [
            ShownObject(int(number), *self._known[int(number)], box=(), score=0.0, lost=True)
            for number in message.lost
            if int(number) in self._known
        ]
        mask = None
        if message.mask.width:
            mask = mask_ids(message.mask)
            if len(objects) < len(message.objects):
                mask = np.where(np.isin(mask, [item.id for item in objects]), mask, 0)
        # A place in another frame says nothing about the distance to the camera.
        own_frame = message.points_frame_id == message.header.frame_id
        state = state_name(message)
        return Result(
            stamp=stamp_ns(message.header),
            state=state,  # type: ignore[arg-type]
            request="" if state in ("tracked", "lost") else str(message.request_id),
            goal=str(message.goal),
            objects=(*(_shown(item, own_frame) for item in objects), *lost),
            mask=mask,
            latency=float(message.latency),
            error_code=error_word(message.error_code),
            error=str(message.error),
            points_frame=str(message.points_frame_id),
        )


def to_message(prompt: ObjectPrompt) -> ObjectPromptMessage:
    """A prompt for ~/add_objects."""
    box = prompt.box
    return ObjectPromptMessage(
        label=prompt.label,
        box=[box.x1, box.y1, box.x2, box.y2] if box else [],
        positive=[Point32(x=point.x, y=point.y) for point in prompt.points],
        negative=[Point32(x=point.x, y=point.y) for point in prompt.negative_points],
    )


def segmented(
    added: Sequence[SegmentedObjectMessage], mask: np.ndarray, picture: Picture
) -> tuple[SegmentedObject, ...]:
    """What ~/add_objects drew in a picture."""
    assert mask.shape == picture.rgb.shape[:2]
    return tuple(
        SegmentedObject(
            int(item.id),
            Box(*map(float, item.box)),
            tuple(Point(point.x, point.y) for point in item.points),
            mask == item.id,
            float(item.score),
            str(item.label),
        )
        for item in added
    )


def _shown(item: SegmentedObjectMessage, own_frame: bool) -> ShownObject:
    distance, size, centroid = None, None, None
    if item.located:
        size = float(item.extent.x), float(item.extent.y), float(item.extent.z)
        centroid = float(item.centroid.x), float(item.centroid.y), float(item.centroid.z)
        if own_frame:
            distance = math.hypot(*centroid)
    return ShownObject(
        id=int(item.id),
        track_id=int(item.track_id),
        goal=str(item.goal),
        label=str(item.label),
        box=tuple(map(float, item.box)),
        score=float(item.score),
        distance=distance,
        size=size,
        centroid=centroid,
    )
