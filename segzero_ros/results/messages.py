"""Answers as ROS messages."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Point32, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from segzero.types import Segmentation, SegmentedObject
from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.msg import SegmentedObject as SegmentedObjectMessage
from segzero_ros.query import Query

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("id", "<u4")])
"""One point of the cloud: 16 bytes, every field aligned."""

_FIELDS = [
    *(
        PointField(name=axis, offset=offset, datatype=PointField.FLOAT32, count=1)
        for axis, offset in (("x", 0), ("y", 4), ("z", 8))
    ),
    PointField(name="id", offset=12, datatype=PointField.UINT32, count=1),
]


def answered(
    query: Query, segmentation: Segmentation, mask: Image, located: LocatedObjects | None = None
) -> SegmentationMessage:
    """Make the message for an answer.

    Args:
        query: The answered query.
        segmentation: The answer.
        mask: The message of its mask; its header is that of the source image.
        located: The objects' geometry; None without depth.
    """
    state = SegmentationMessage.ANSWERED if segmentation.objects else SegmentationMessage.NOTHING
    return SegmentationMessage(
        header=mask.header,
        state=state,
        query=query.text,
        query_id=query.id,
        reasoning=segmentation.reasoning,
        objects=[_object(item, located) for item in segmentation.objects],
        points_frame_id=located.frame_id if located else "",
        mask=mask,
    )


def tracked(
    query: Query,
    segmentation: Segmentation,
    lost: Sequence[int],
    mask: Image,
    located: LocatedObjects | None = None,
) -> SegmentationMessage:
    """Make the message for a later frame.

    Args:
        query: The answered query.
        segmentation: The objects seen in the frame.
        lost: Ids of the query's other objects.
        mask: The message of the mask; its header is that of the frame.
        located: The objects' geometry; None without depth.
    """
    message = answered(query, segmentation, mask, located)
    objects = bool(segmentation.objects)
    message.state = SegmentationMessage.TRACKED if objects else SegmentationMessage.LOST
    message.lost = lost
    return message


def failed(query: Query, reason: str, header: Header) -> SegmentationMessage:
    """Make the message for a query without an answer.

    Args:
        query: The failed query.
        reason: The error text.
        header: That of the image; empty without an image.
    """
    return SegmentationMessage(
        header=header,
        state=SegmentationMessage.FAILED,
        query=query.text,
        query_id=query.id,
        error=reason,
        mask=Image(header=header),
    )


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


def _object(item: SegmentedObject, located: LocatedObjects | None) -> SegmentedObjectMessage:
    message = SegmentedObjectMessage(
        id=item.id,
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
