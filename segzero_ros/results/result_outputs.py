"""The topics of results."""

from collections.abc import Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

from segzero.tracks import Track
from segzero.types import Segmentation, SegmentedObject
from segzero_ros.depth.locator import LocatedObjects, Locator
from segzero_ros.images.frames import Frame
from segzero_ros.msg import ReasoningText
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.qos import LATCHED_QOS, TEXT_QOS, create_output
from segzero_ros.query import FollowedAnswer, Query
from segzero_ros.results import messages
from segzero_ros.results.frame_age import FrameAge
from segzero_ros.results.picture_outputs import PictureOutputs
from segzero_ros.results.standard_outputs import StandardOutputs
from segzero_ros.shutdown import ignoring_shutdown


class ResultOutputs:
    """Makes messages of results and publishes them; for any thread.

    Args:
        node: Gets the publishers.

    Attributes:
        locator: Finds the objects' 3D geometry; None without depth. Change it only while no query
            is under way.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self.locator: Locator | None = None
        self._context = node.context
        self._segmentation = create_output(node, SegmentationMessage, "~/segmentation")
        self._reasoning = create_output(node, String, "~/reasoning")
        self._stream = create_output(node, ReasoningText, "~/reasoning/stream", TEXT_QOS)
        self._answer = create_output(node, SegmentationMessage, "~/answer", LATCHED_QOS)
        self._points = create_output(node, PointCloud2, "~/points")
        self._pictures = PictureOutputs(node)
        self._standard = StandardOutputs(node)
        self._age = FrameAge(node)

    def publish_text(self, query: Query, text: str, end: bool) -> None:
        """Publish a piece of the thinking."""
        if not (text or end):
            return
        self._publish(
            self._stream,
            ReasoningText(
                header=query.header, query_id=query.id, goal=query.goal, text=text, end=end
            ),
        )
        if text and query.on_text:
            with ignoring_shutdown(self._context):
                query.on_text(text)

    def publish_partial(
        self, query: Query, objects: Sequence[SegmentedObject], tracks: Sequence[Track]
    ) -> None:
        """Publish the first objects of an answer."""
        frame = query.frame
        assert frame is not None  # the model reads it
        height, width = frame.pixels().shape[:2]
        answer = Segmentation(query.text, "", "", (width, height), tuple(objects))
        mask = self._pictures.mask(answer, frame.message.header)
        message = messages.answered(query, answer, tracks, mask, latency=self._age(frame))
        message.state = SegmentationMessage.PARTIAL
        self._publish(self._segmentation, message)

    def publish_answer(
        self, query: Query, frame: Frame, answer: Segmentation, tracks: Sequence[Track]
    ) -> SegmentationMessage:
        """Publish an answer about its frame; return its message."""
        mask, located = self._publish_mask(frame, answer)
        message = messages.answered(
            query, answer, tracks, mask, located=located, latency=self._age(frame)
        )
        self._publish_result(message, located)
        self._publish(self._answer, message)
        self._publish(self._reasoning, String(data=message.reasoning))
        return message

    def publish_tracked(
        self, answers: Sequence[FollowedAnswer], frame: Frame, segmentation: Segmentation
    ) -> SegmentationMessage:
        """Publish followed objects in a later frame; return their message."""
        mask, located = self._publish_mask(frame, segmentation)
        age = self._age(frame)
        message = messages.tracked(answers, segmentation, mask, located=located, latency=age)
        self._publish_result(message, located)
        return message

    def publish_failed(
        self, query: Query, code: int, reason: str, header: Header, frame: Frame | None
    ) -> SegmentationMessage:
        """Publish that a query has no result, or none any more; return the message."""
        message = messages.failed(query, code, reason, header, latency=self._age(frame))
        self._publish(self._segmentation, message)
        return message

    def shown_message(
        self, query: Query, objects: Sequence[SegmentedObject], tracks: Sequence[Track]
    ) -> SegmentationMessage:
        """Make the message for objects that were shown in the query's frame."""
        frame = query.frame
        assert frame is not None  # the objects were drawn in it
        answer = Segmentation("", "", "", objects[0].mask.shape[::-1], tuple(objects))
        mask = self._pictures.mask(answer, frame.message.header)
        return messages.answered(query, answer, tracks, mask, latency=self._age(frame))

    def clear(self) -> None:
        """Take objects that nobody follows from the standard topics."""
        with ignoring_shutdown(self._context):
            self._standard.clear()

    def _publish_mask(
        self, frame: Frame, segmentation: Segmentation
    ) -> tuple[Image, LocatedObjects | None]:
        """Publish overlay and mask; return the mask and, where there is depth, the geometry."""
        mask = self._pictures.publish(frame, segmentation)
        if self.locator is None:
            return mask, None
        # Not from the mask of ids: where objects overlap, one has the pixels of the other.
        masks = {item.id: item.mask for item in segmentation.objects}
        return mask, self.locator.locate(masks, mask.header)

    def _publish_result(self, message: SegmentationMessage, located: LocatedObjects | None) -> None:
        self._publish(self._segmentation, message)
        if located:
            self._publish(self._points, messages.point_cloud(located, message.header))
        with ignoring_shutdown(self._context):
            self._standard.publish(message, located)

    def _publish(self, publisher: Publisher, message: Any) -> None:
        with ignoring_shutdown(self._context):
            publisher.publish(message)
