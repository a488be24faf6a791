"""Results as markers for RViz and Foxglove: boxes, labels and outlines in 3D."""

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from segzero.overlay import colour
from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.depth.oriented_box import OrientedBox
from segzero_ros.depth.outlines import lift_outlines
from segzero_ros.msg import Segmentation, SegmentedObject
from segzero_ros.results.messages import mask_ids
from segzero_ros.results.poses import header_in_3d, to_pose

_BOX_OPACITY = 0.35
_LEAST_SIZE = 0.001
"""Metres: RViz warns of markers without a thickness."""
_LINE_WIDTH = 0.003
_LETTER_HEIGHT = (0.015, 0.15)
"""Metres, at least and at most; between them a quarter of the box's longest side."""
_MAX_LABEL = 60
"""Characters."""


def marker_array(
    result: Segmentation, located: LocatedObjects, boxes: dict[int, OrientedBox]
) -> MarkerArray:
    """Make the markers of a result; the first one deletes those of the result before.

    Args:
        result: The result, with its mask.
        located: Its objects in 3D.
        boxes: Theirs, as `object_boxes` returns them.

    Returns:
        For each located object a marker in the namespaces `boxes` and `labels`, and one in
        `outlines`, with its track id.
    """
    markers = list(no_markers().markers)
    ids = mask_ids(result.mask)  # (H, W)
    for item in result.objects:
        if item.id in boxes:
            markers.append(_box(result, item, boxes[item.id]))
            markers.append(_label(result, item, boxes[item.id], located))
            markers.append(_outlines(result, item, ids == item.id, located))
    return MarkerArray(markers=markers)


def no_markers() -> MarkerArray:
    """Make the message that deletes all markers."""
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


def _marker(result: Segmentation, item: SegmentedObject, opacity: float, **fields: Any) -> Marker:
    red, green, blue = (part / 255 for part in colour(item.id))
    fields.setdefault("pose", Pose(orientation=Quaternion(w=1.0)))
    return Marker(
        header=header_in_3d(result),
        id=item.track_id,
        color=ColorRGBA(r=red, g=green, b=blue, a=opacity),
        **fields,
    )


def _box(result: Segmentation, item: SegmentedObject, box: OrientedBox) -> Marker:
    x, y, z = np.maximum(box.size, _LEAST_SIZE).tolist()
    size = Vector3(x=x, y=y, z=z)
    return _marker(
        result, item, _BOX_OPACITY, ns="boxes", type=Marker.CUBE, pose=to_pose(box), scale=size
    )


def _label(
    result: Segmentation, item: SegmentedObject, box: OrientedBox, located: LocatedObjects
) -> Marker:
    """The text above the box: against y in a camera's optical frame, along z in others."""
    height = float(np.clip(box.size.max() / 4, *_LETTER_HEIGHT))
    axis, sign = (1, -1) if located.pose is None else (2, 1)
    place = box.center.copy()
    place[axis] += sign * (abs(box.rotation[axis]) @ box.size / 2 + height)
    text = f"{item.goal}: {item.label}" if item.goal else item.label
    pose = Pose(position=_point(place), orientation=Quaternion(w=1.0))
    return _marker(
        result,
        item,
        1.0,
        ns="labels",
        type=Marker.TEXT_VIEW_FACING,
        pose=pose,
        scale=Vector3(z=height),
        text=text[:_MAX_LABEL],
    )


def _outlines(
    result: Segmentation, item: SegmentedObject, mask: NDArray[np.bool_], located: LocatedObjects
) -> Marker:
    cloud = located.cloud
    assert located.camera is not None  # there are objects
    points = cloud.points[cloud.ids == item.id]
    ends = []
    for outline in lift_outlines(mask, points, located.camera, located.pose):
        for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            ends += [_point(start), _point(end)]
    return _marker(
        result,
        item,
        1.0,
        ns="outlines",
        type=Marker.LINE_LIST,
        scale=Vector3(x=_LINE_WIDTH),
        points=ends,
    )


def _point(place: NDArray[np.float64]) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)
