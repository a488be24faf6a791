"""A result with two located objects of two goals, and a third without depth."""

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from segzero.tracks import Track
from segzero.types import Box, Segmentation, SegmentedObject
from segzero_ros.depth.calibration import Intrinsics
from segzero_ros.depth.cloud import DepthView, lift_mask
from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.images.conversions import from_array
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.query import Query
from segzero_ros.results import messages

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(fx=60.0, fy=60.0, cx=31.5, cy=23.5)
BASE = np.array([[0.0, 0, 1, 5], [-1, 0, 0, 6], [0, -1, 0, 7], [0, 0, 0, 1]])
"""From the camera's optical frame to one with z up."""
TRACKS = (
    Track(1, 41, "fetch", "the red ball"),
    Track(2, 42, "", "a mug"),
    Track(3, 43, "fetch", "the blue ball"),
)
_CORNERS = {1: (10, 8, 17, 13), 2: (30, 20, 20, 10), 3: (55, 40, 6, 6)}
"""Left, top, width and height in pixels, by id."""


def masks() -> dict[int, NDArray[np.bool_]]:
    found = {}
    for number, (left, top, width, height) in _CORNERS.items():
        found[number] = np.zeros((HEIGHT, WIDTH), bool)
        found[number][top : top + height, left : left + width] = True
    return found


def located(pose: NDArray[np.float64] | None = None) -> LocatedObjects:
    """Objects 1 and 2, which face the camera at two metres; object 3 has no depth."""
    shown = masks()
    depth = np.where(shown[1] | shown[2], 2, 0).astype(np.float32)
    ids = sum(number * mask.astype(np.uint8) for number, mask in shown.items())
    frame = "eye" if pose is None else "base"
    cloud = lift_mask(np.asarray(ids, np.uint8), DepthView(depth, 1.0, CAMERA), pose)
    return LocatedObjects(cloud, frame, CAMERA, pose)


def result(
    place: LocatedObjects | None = None, *, tracks: tuple[Track, ...] = TRACKS, wide: bool = False
) -> SegmentationMessage:
    """The answer to a question for the goal fetch; `wide` makes a mono16 mask."""
    shown = masks()
    objects = tuple(
        SegmentedObject(
            track.id,
            Box(left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5),
            (),
            shown[track.id],
            0.25 * track.id,
        )
        for track in tracks
        for left, top, width, height in [_CORNERS[track.id]]
    )
    header = Header(frame_id="eye")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    answer = Segmentation("the ball", "", "", (WIDTH, HEIGHT), objects)
    mask = from_array(answer.mask(np.uint16 if wide else np.uint8), header)
    if wide:
        mask.encoding = "mono16"
    query = Query(7, "the ball", None, 0.0, goal="fetch")
    return messages.answered(query, answer, tracks, mask, located=place)
