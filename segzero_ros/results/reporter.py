"""Publishes, counts and logs what becomes of queries."""

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

from segzero import overlay
from segzero.errors import DeviceOutOfMemory, SegZeroError
from segzero.reasoning.thinking import ThinkingStream
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_ros.depth.locator import LocatedObjects, Locator
from segzero_ros.images import camera
from segzero_ros.images.conversions import ConversionError, from_array
from segzero_ros.images.frames import Frame
from segzero_ros.msg import ReasoningText
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.qos import RELIABLE_QOS, TEXT_QOS
from segzero_ros.query import NoFrame, Query, Replaced, Stopped
from segzero_ros.results import messages
from segzero_ros.results.diagnostics import DiagnosticsCollector, QueryEnd
from segzero_ros.results.watchdog import why_silent

_LOG_PERIOD = 5.0
"""Least number of seconds between two log lines about unusable images."""


class Reporter:
    """Publishes results and keeps the diagnostics; its methods are for any thread.

    None of them raises.

    Args:
        node: Gets the publishers.
        diagnostics: Counts what happens.

    Attributes:
        locator: Finds the objects' 3D geometry; None without depth. Change it only while no query
            is under way.
    """

    def __init__(self, node: LifecycleNode, diagnostics: DiagnosticsCollector) -> None:
        self.locator: Locator | None = None
        self._node = node
        self._diagnostics = diagnostics
        self._log = node.get_logger()
        self._text_lock = threading.Lock()
        self._streams: dict[int, ThinkingStream] = {}  # by query id
        publisher = node.create_lifecycle_publisher
        self._segmentation = publisher(SegmentationMessage, "~/segmentation", RELIABLE_QOS)
        self._mask = publisher(Image, "~/mask", RELIABLE_QOS)
        self._reasoning = publisher(String, "~/reasoning", RELIABLE_QOS)
        self._stream = publisher(ReasoningText, "~/reasoning/stream", TEXT_QOS)
        self._overlay = publisher(Image, "~/overlay", RELIABLE_QOS)
        self._points = publisher(PointCloud2, "~/points", RELIABLE_QOS)

    # Queries

    def begin_query(self, query: Query) -> None:
        """Expect reasoning for an accepted query; `finish_query` ends it."""
        with self._text_lock:
            self._streams[query.id] = ThinkingStream()

    def begin_inference(self, frame: Frame) -> None:
        """Keep the depth of the frame that the model now reads."""
        if self.locator:
            self.locator.pin_depth(frame.message.header.stamp)

    def publish_reasoning(self, query: Query, piece: str) -> None:
        """Publish the reasoning in a piece of the completion.

        Args:
            query: The query under way; nothing is published after its end.
            piece: The next text of the completion.
        """
        with self._text_lock:
            stream = self._streams.get(query.id)
            if stream and not stream.ended:
                self._publish_text(query, stream.feed(piece), stream.ended)

    def finish_query(self, query: Query, result: Segmentation | Exception) -> None:
        """Publish and count the end of a query.

        Args:
            query: The query; call it once for each.
            result: The answer, or what prevented it.
        """
        with self._text_lock:
            stream = self._streams.pop(query.id, ThinkingStream())
            if not stream.ended:
                self._publish_text(query, stream.end(), True)
        if isinstance(result, Segmentation):
            try:
                assert query.frame is not None  # it was answered
                message = self._publish_answer(query, query.frame, result)
                latency = time.monotonic() - query.received
                end = QueryEnd.ANSWERED if result.objects else QueryEnd.NOTHING
                self._diagnostics.count_query(end, latency=latency)
            except Exception as error:
                message = self._fail(query, error)
        elif isinstance(result, Replaced):
            self._diagnostics.count_query(QueryEnd.REPLACED)
            self._log.info(f"Question {query.id} was {result}.")
            message = messages.failed(query, str(result), query.header)
        else:
            message = self._fail(query, result)
        if query.on_end:
            with self._until_shutdown():
                query.on_end(message)

    def _publish_text(self, query: Query, text: str, end: bool) -> None:
        if not (text or end):
            return
        self._publish(
            self._stream,
            ReasoningText(header=query.header, query_id=query.id, text=text, end=end),
        )
        if text and query.on_text:
            with self._until_shutdown():
                query.on_text(text)

    def _publish_answer(
        self, query: Query, frame: Frame, answer: Segmentation
    ) -> SegmentationMessage:
        mask, located = self._publish_mask(frame, answer)
        message = messages.answered(query, answer, mask, located)
        self._publish_result(message, located)
        self._publish(self._reasoning, String(data=message.reasoning))
        return message

    def _fail(self, query: Query, error: Exception) -> SegmentationMessage:
        reason = self.explain(error)
        end = QueryEnd.STOPPED if isinstance(error, Stopped) else QueryEnd.FAILED
        self._diagnostics.count_query(end, error=reason)
        self._log.warning(f"Question {query.id} failed: {reason}")
        message = messages.failed(query, reason, query.header)
        self._publish(self._segmentation, message)
        return message

    # Following

    def set_followed_query(self, query: Query | None) -> None:
        """Report the query whose objects are followed from now on; None for no query."""
        self._diagnostics.set_followed_query(f"{query.id}: {query.text}" if query else "")

    def publish_tracked(
        self,
        query: Query,
        frame: Frame,
        size: tuple[int, int],
        seen: Sequence[TrackedObject],
        lost: Sequence[int],
    ) -> None:
        """Publish the objects in a later frame.

        Args:
            query: The followed query.
            frame: The later frame.
            size: Its (width, height) in pixels.
            seen: Objects that have a box.
            lost: Ids of the others.
        """
        objects = tuple(
            SegmentedObject(item.id, item.box, (), item.mask, item.score)
            for item in seen
            if item.box
        )
        segmentation = Segmentation(query.text, "", "", size, objects)
        mask, located = self._publish_mask(frame, segmentation)
        self._publish_result(messages.tracked(query, segmentation, lost, mask, located), located)
        self._diagnostics.count_frame(
            time.monotonic() - frame.received,
            self._age(mask.header),
            seen=len(objects),
            lost=len(lost),
        )

    def count_skipped(self, count: int) -> None:
        """Count frames that came but were not tracked."""
        self._diagnostics.count_skipped(count)

    def report_bad_image(self, error: ConversionError) -> None:
        """Count and log a frame without a usable image."""
        self._diagnostics.count_bad_image(str(error))
        self._log.warning(f"A frame was skipped: {error}", throttle_duration_sec=_LOG_PERIOD)

    def publish_reask(self, query: Query, frame: Frame, result: Segmentation | Exception) -> None:
        """Publish the answer to a repeated query; without objects, only log it.

        Args:
            query: The followed query.
            frame: The frame that it was asked about again.
            result: The answer, or what prevented it.
        """
        if isinstance(result, Exception):
            self._log.warning(f"Asking question {query.id} again failed: {self.explain(result)}")
        elif not result.objects:
            self._log.info(f"Asking question {query.id} again found nothing.")
        else:
            self._publish_answer(query, frame, result)

    def log_event(self, query: Query, text: str) -> None:
        """Log what happened to a followed query."""
        self._log.info(f"Question {query.id}: {text}.")

    def fail_following(self, query: Query, frame: Frame, error: Exception) -> None:
        """Publish why the following ended.

        Args:
            query: The followed query.
            frame: The frame that could not be followed.
            error: What went wrong.
        """
        reason = f"following ended: {self.explain(error)}"
        self._log.warning(f"Question {query.id}: {reason}")
        self._publish(self._segmentation, messages.failed(query, reason, frame.message.header))

    def explain(self, error: Exception) -> str:
        """Return an error's text; an unexpected error is logged with its traceback."""
        if isinstance(error, NoFrame):
            return f"{error}: {why_silent(self._node, camera.topic(self._node))}"
        if isinstance(error, SegZeroError) and not isinstance(error, DeviceOutOfMemory):
            return str(error)
        self._diagnostics.set_model_error(error)
        if isinstance(error, DeviceOutOfMemory):
            return str(error)
        self._log.error("".join(traceback.format_exception(error)))
        return f"unexpected {type(error).__name__}: {error}"

    def _publish_mask(
        self, frame: Frame, segmentation: Segmentation
    ) -> tuple[Image, LocatedObjects | None]:
        """Publish overlay and mask; return the mask and, where there is depth, the geometry."""
        header = frame.message.header
        if self._overlay.get_subscription_count():
            picture = overlay.draw(frame.pixels(), segmentation)
            self._publish(self._overlay, from_array(picture, header))
        ids = segmentation.mask()  # (H, W)
        mask = from_array(ids, header)
        self._publish(self._mask, mask)
        return mask, self.locator.locate(ids, header) if self.locator else None

    def _publish_result(self, message: SegmentationMessage, located: LocatedObjects | None) -> None:
        self._publish(self._segmentation, message)
        if located:
            self._publish(self._points, messages.point_cloud(located, message.header))

    def _publish(self, publisher: Publisher, message: Any) -> None:
        with self._until_shutdown():
            publisher.publish(message)

    @contextmanager
    def _until_shutdown(self) -> Iterator[None]:
        """Ignore the errors of the block once ROS was shut down."""
        try:
            yield
        except Exception:
            if self._node.context.ok():
                raise

    def _age(self, header: Header) -> float:
        """Seconds since the header's stamp, by the node's clock."""
        now = self._node.get_clock().now()
        return float((now - Time.from_msg(header.stamp, now.clock_type)).nanoseconds / 1e9)
