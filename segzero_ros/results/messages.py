"""Answers as ROS messages."""

from collections.abc import Sequence

from geometry_msgs.msg import Point32
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from segzero.types import Segmentation, SegmentedObject
from segzero_ros.images.conversions import from_array
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.msg import SegmentedObject as SegmentedObjectMessage


def answered(
    segmentation: Segmentation, header: Header, query: str, query_id: int
) -> SegmentationMessage:
    """Make the message for an answer; `header` is that of the image it was computed from."""
    state = SegmentationMessage.ANSWERED if segmentation.objects else SegmentationMessage.NOTHING
    return SegmentationMessage(
        header=header,
        state=state,
        query=query,
        query_id=query_id,
        reasoning=segmentation.reasoning,
        objects=[_object(item) for item in segmentation.objects],
        mask=from_array(segmentation.mask(), header),
    )


def followed(
    segmentation: Segmentation, lost: Sequence[int], header: Header, query: str, query_id: int
) -> SegmentationMessage:
    """Make the message for a later frame: the objects seen in it, and the ids of the others."""
    tracked = SegmentationMessage.TRACKED if segmentation.objects else SegmentationMessage.LOST
    message = answered(segmentation, header, query, query_id)
    message.state, message.lost = tracked, lost
    return message


def failed(reason: str, header: Header, query: str, query_id: int) -> SegmentationMessage:
    """Make the message for a question without answer; an empty `header` says: no image."""
    return SegmentationMessage(
        header=header,
        state=SegmentationMessage.FAILED,
        query=query,
        query_id=query_id,
        error=reason,
        mask=Image(header=header),
    )


def state_name(result: SegmentationMessage) -> str:
    """Return the state as a word: answered, tracked, lost, nothing or failed."""
    return _STATES[result.state]


def _object(item: SegmentedObject) -> SegmentedObjectMessage:
    return SegmentedObjectMessage(
        id=item.id,
        box=[item.box.x1, item.box.y1, item.box.x2, item.box.y2],
        points=[Point32(x=point.x, y=point.y) for point in item.points],
        score=item.score,
    )


_STATES = {
    SegmentationMessage.ANSWERED: "answered",
    SegmentationMessage.TRACKED: "tracked",
    SegmentationMessage.LOST: "lost",
    SegmentationMessage.NOTHING: "nothing",
    SegmentationMessage.FAILED: "failed",
}
