"""Answers as ROS messages."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Point32, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from segzero.tracks import Track
from segzero.types import Segmentation, SegmentedObject
from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.msg import FollowedGoal
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.msg import SegmentedObject as SegmentedObjectMessage
from segzero_ros.query import FollowedAnswer, Query

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("id", "<u4")])
"""One point of the cloud: 16 bytes, every field aligned."""

_FIELDS = [
    *(
        PointField(name=axis, offset=offset, datatype=PointField.FLOAT32, count=1)
        for axis, offset in (("x", 0), ("y", 4), ("z", 8))
    ),
    PointField(name="id", offset=12, datatype=PointField.UINT32, count=1),
]


MAX_ECHO = 4096
"""Most characters of a question that a message repeats."""


def answered(
    query: Query,
    segmentation: Segmentation,
    tracks: Sequence[Track],
    mask: Image,
    *,
    located: LocatedObjects | None = None,
    latency: float = 0.0,
) -> SegmentationMessage:
    """Make the message for an answer.

    Args:
        query: The answered query.
        segmentation: The answer.
        tracks: Of its objects.
        mask: The message of its mask; its header is that of the source image.
        located: The objects' geometry; None without depth.
        latency: Age of the image in seconds.
    """
    state = SegmentationMessage.ANSWERED if segmentation.objects else SegmentationMessage.NOTHING
    known = {track.id: track for track in tracks}
    return SegmentationMessage(
        **_about(query),
        header=mask.header,
        state=state,
        latency=latency,
        reasoning=segmentation.reasoning,
        dropped=segmentation.dropped,
        objects=[_object(item, known[item.id], located) for item in segmentation.objects],
        points_frame_id=located.frame_id if located else "",
        mask=mask,
    )


def tracked(
    answers: Sequence[FollowedAnswer],
    segmentation: Segmentation,
    mask: Image,
    *,
    located: LocatedObjects | None = None,
    latency: float = 0.0,
) -> SegmentationMessage:
    """Make the message for a followed frame.

    Args:
        answers: The followed answers, one at least.
        segmentation: Their objects that are seen in the frame.
        mask: The message of the mask; its header is that of the frame.
        located: The objects' geometry; None without depth.
        latency: Age of the image in seconds.
    """
    newest = max(answers, key=lambda answer: answer.query.id)
    tracks = [track for answer in answers for track in answer.tracks]
    message = answered(newest.query, segmentation, tracks, mask, located=located, latency=latency)
    seen = {item.id for item in segmentation.objects}
    message.state = SegmentationMessage.TRACKED if seen else SegmentationMessage.LOST
    message.reasoning = ""
    message.lost = sorted(track.id for track in tracks if track.id not in seen)
    message.goals = [_followed_goal(answer, seen) for answer in answers]
    return message


def failed(
    query: Query, code: int, reason: str, header: Header, *, latency: float = 0.0
) -> SegmentationMessage:
    """Make the message for a query without an answer.

    Args:
        query: The failed query.
        code: An error code of the message.
        reason: The error text.
        header: That of the image; empty without an image.
        latency: Age of the image in seconds.
    """
    return SegmentationMessage(
        **_about(query),
        header=header,
        state=SegmentationMessage.FAILED,
        error_code=code,
        error=reason,
        latency=latency,
        mask=Image(header=header),
    )


def mask_ids(mask: Image) -> NDArray[Any]:
    """Read the message of a mask.

    Args:
        mask: As the node publishes it: mono8 or mono16, without padding.

    Returns:
        (H, W) uint8 or uint16: 0 is background, k is the object with id k.
    """
    dtype = np.uint16 if mask.encoding == "mono16" else np.uint8
    return np.frombuffer(mask.data, dtype).reshape(mask.height, mask.width)


def point_cloud(located: LocatedObjects, header: Header) -> PointCloud2:
    """Make the message of a cloud, as sensor_msgs_py's create_cloud, which fails for an empty one.

    Args:
        located: The objects' points.
        header: That of the image; its stamp is used.

    Returns:
        Fields x, y, z (float32, metres) and id (uint32), by which RViz can colour the points.
    """
    cloud = located.cloud
    rows = np.empty(len(cloud.points), POINT)
    rows["x"], rows["y"], rows["z"] = cloud.points.T
    rows["id"] = cloud.ids
    message = PointCloud2(
        header=Header(stamp=header.stamp, frame_id=located.frame_id),
        height=1,
        width=len(rows),
        fields=_FIELDS,
        point_step=POINT.itemsize,
        row_step=rows.nbytes,
        is_dense=True,  # no NaN among the points
    )
    message.data.frombytes(rows.view(np.uint8).data)
    return message


def _about(query: Query) -> dict[str, Any]:
    """The fields that every result has of its query."""
    text = query.text
    if len(text) > MAX_ECHO:
        text = f"{text[:MAX_ECHO]}… ({len(text)} characters)"
    return {
        "query": text,
        "query_id": query.id,
        "request_id": query.request_id[:MAX_ECHO],
        "goal": query.goal,
    }


def _followed_goal(answer: FollowedAnswer, seen: set[int]) -> FollowedGoal:
    ids = [track.id for track in answer.tracks]
    lost = [number for number in ids if number not in seen]
    return FollowedGoal(**_about(answer.query), ids=ids, lost=lost)


def _object(
    item: SegmentedObject, track: Track, located: LocatedObjects | None
) -> SegmentedObjectMessage:
    message = SegmentedObjectMessage(
        id=item.id,
        track_id=track.track_id,
        goal=track.goal,
        label=track.label,
        box=[item.box.x1, item.box.y1, item.box.x2, item.box.y2],
        points=[Point32(x=point.x, y=point.y) for point in item.points],
        score=item.score,
    )
    if located and (geometry := located.cloud.objects.get(item.id)):
        message.located = True
        message.centroid = Point(**_axes(geometry.centroid))
        message.extent = Vector3(**_axes(geometry.extent))
    return message


def _axes(values: NDArray[np.floating]) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=True))
