"""What becomes of questions: on the topics, in /diagnostics and in the log."""

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

from segzero import overlay
from segzero.errors import DeviceOutOfMemory, SegZeroError
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_ros.depth.locator import Locator
from segzero_ros.images import camera
from segzero_ros.images.conversions import ConversionError, from_array
from segzero_ros.images.frames import Frame
from segzero_ros.msg import ReasoningText
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.query import NoFrame, Query, Replaced, Stopped
from segzero_ros.results import messages
from segzero_ros.results.diagnostics import DiagnosticsCollector
from segzero_ros.results.watchdog import why_silent

RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
TEXT_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""Every piece counts, and they come faster than a busy reader reads."""

_COMPLAINT_PERIOD = 5.0
"""Seconds between log lines about pictures that can't be read."""


class Reporter:
    """Publishes, counts and logs; its methods are for any thread and raise nothing.

    locator: places the objects in 3D, where there is depth; change it only while nothing works.
    """

    def __init__(self, node: LifecycleNode, health: DiagnosticsCollector) -> None:
        self._node = node
        self._health = health
        self._log = node.get_logger()
        self._thinking = threading.Lock()
        publisher = node.create_lifecycle_publisher
        self._segmentation = publisher(SegmentationMessage, "~/segmentation", RELIABLE_QOS)
        self._mask = publisher(Image, "~/mask", RELIABLE_QOS)
        self._reasoning = publisher(String, "~/reasoning", RELIABLE_QOS)
        self._stream = publisher(ReasoningText, "~/reasoning/stream", TEXT_QOS)
        self._overlay = publisher(Image, "~/overlay", RELIABLE_QOS)
        self._points = publisher(PointCloud2, "~/points", RELIABLE_QOS)
        self.locator: Locator | None = None

    # Questions

    def begin_inference(self, frame: Frame) -> None:
        """Tell that the model begins with a frame."""
        if self.locator:
            self.locator.hold(frame.message.header.stamp)

    def publish_reasoning(self, question: Query, piece: str) -> None:
        """Pass on the thinking in a piece of the completion."""
        with self._thinking:
            self._publish_text(question, question.thinking.feed(piece), question.thinking.ended)

    def ended(self, question: Query, result: Segmentation | Exception) -> None:
        """Tell how a question ended."""
        with self._thinking:
            self._publish_text(question, question.thinking.end(), True)
        if isinstance(result, Segmentation):
            try:
                assert question.frame is not None  # it was answered
                message = self._answer(question, question.frame, result)
                latency = time.monotonic() - question.received
                self._health.ended(messages.state_name(message), latency=latency)
            except Exception as error:
                message = self._fail(question, error)
        elif isinstance(result, Replaced):
            self._health.ended("replaced")
            self._log.info(f"Question {question.id} was {result}.")
            message = messages.failed(str(result), question.header, question.text, question.id)
        else:
            message = self._fail(question, result)
        with self._until_shutdown():
            question.on_end(message)

    def _publish_text(self, question: Query, text: str, end: bool) -> None:
        if question.thought or not (text or end):
            return
        question.thought = end
        self._publish(
            self._stream,
            ReasoningText(header=question.header, query_id=question.id, text=text, end=end),
        )
        if text:
            with self._until_shutdown():
                question.on_text(text)

    def _answer(self, question: Query, frame: Frame, answer: Segmentation) -> SegmentationMessage:
        header = frame.message.header
        message = messages.answered(answer, header, question.text, question.id)
        self._publish_result(message, frame, answer)
        self._publish(self._reasoning, String(data=message.reasoning))
        return message

    def _fail(self, question: Query, error: Exception) -> SegmentationMessage:
        reason = self.explain(error)
        stopped = isinstance(error, Stopped)
        self._health.ended("stopped" if stopped else "failed", error=reason)
        self._log.warning(f"Question {question.id} failed: {reason}")
        message = messages.failed(reason, question.header, question.text, question.id)
        self._publish(self._segmentation, message)
        return message

    # Following

    def following(self, question: Query | None) -> None:
        """Tell what is followed from now on; None for nothing any more."""
        self._health.following(f"{question.id}: {question.text}" if question else "")

    def followed(
        self,
        question: Query,
        frame: Frame,
        size: tuple[int, int],
        seen: Sequence[TrackedObject],
        lost: Sequence[int],
    ) -> None:
        """Tell where the objects are in a later frame of `size` (width, height).

        seen: objects that have a box. lost: the ids of the others.
        """
        objects = tuple(
            SegmentedObject(item.id, item.box, (), item.mask, item.score)
            for item in seen
            if item.box
        )
        followed = Segmentation(question.text, "", "", size, objects)
        header = frame.message.header
        message = messages.followed(followed, lost, header, question.text, question.id)
        self._publish_result(message, frame, followed)
        self._health.followed(
            time.monotonic() - frame.received,
            self._age(header),
            seen=len(objects),
            lost=len(lost),
        )

    def skipped(self, count: int) -> None:
        """Count frames that came but were not looked at."""
        self._health.dropped(count)

    def unreadable(self, error: ConversionError) -> None:
        """Tell of a frame that holds no usable picture."""
        self._health.bad_image(str(error))
        self._log.warning(f"A frame was left out: {error}", throttle_duration_sec=_COMPLAINT_PERIOD)

    def asked_again(self, question: Query, frame: Frame, result: Segmentation | Exception) -> None:
        """Tell what came of asking a followed question again; without objects, only the log."""
        if isinstance(result, Exception):
            self._log.warning(f"Asking question {question.id} again failed: {self.explain(result)}")
        elif not result.objects:
            self._log.info(f"Asking question {question.id} again found nothing.")
        else:
            self._answer(question, frame, result)

    def noted(self, question: Query, text: str) -> None:
        """Log what happened to a followed question."""
        self._log.info(f"Question {question.id}: {text}.")

    def fail_following(self, question: Query, frame: Frame, error: Exception) -> None:
        """Tell why the following ended by itself, at `frame`."""
        reason = f"following ended: {self.explain(error)}"
        self._log.warning(f"Question {question.id}: {reason}")
        header = frame.message.header
        self._publish(
            self._segmentation, messages.failed(reason, header, question.text, question.id)
        )

    def explain(self, error: Exception) -> str:
        """Say what happened; an error that nobody foresaw goes to the log with its traceback."""
        if isinstance(error, NoFrame):
            return f"{error}: {why_silent(self._node, camera.topic(self._node))}"
        if isinstance(error, SegZeroError) and not isinstance(error, DeviceOutOfMemory):
            return str(error)
        self._health.error(error)
        if isinstance(error, DeviceOutOfMemory):
            return str(error)
        self._log.error("".join(traceback.format_exception(error)))
        return f"unexpected {type(error).__name__}: {error}"

    def _publish_result(
        self, message: SegmentationMessage, frame: Frame, segmentation: Segmentation
    ) -> None:
        if self._overlay.get_subscription_count():
            picture = overlay.draw(frame.pixels(), segmentation)
            self._publish(self._overlay, from_array(picture, message.header))
        self._publish(self._mask, message.mask)
        points = self.locator.locate(message) if self.locator else None
        self._publish(self._segmentation, message)
        if points:
            self._publish(self._points, points)

    def _publish(self, publisher: Publisher, message: Any) -> None:
        with self._until_shutdown():
            publisher.publish(message)

    @contextmanager
    def _until_shutdown(self) -> Iterator[None]:
        """What is said inside fails silently once ROS was shut down."""
        try:
            yield
        except Exception:
            if self._node.context.ok():
                raise

    def _age(self, header: Header) -> float:
        now = self._node.get_clock().now()
        return float((now - Time.from_msg(header.stamp, now.clock_type)).nanoseconds / 1e9)
