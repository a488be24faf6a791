"""Publishes, counts and logs what becomes of queries."""

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

from segzero.errors import DeviceOutOfMemory, SegZeroError
from segzero.reasoning.thinking import ThinkingStream
from segzero.tracks import Track
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_ros.depth.locator import LocatedObjects, Locator
from segzero_ros.images import camera
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame
from segzero_ros.msg import ReasoningText
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.qos import LATCHED_QOS, TEXT_QOS, create_output
from segzero_ros.query import FollowedAnswer, NoFrame, Query, Replaced, Stopped
from segzero_ros.results import messages
from segzero_ros.results.diagnostics import DiagnosticsCollector, QueryEnd
from segzero_ros.results.error_codes import error_code
from segzero_ros.results.frame_age import FrameAge
from segzero_ros.results.picture_outputs import PictureOutputs
from segzero_ros.results.standard_outputs import StandardOutputs
from segzero_ros.results.watchdog import why_silent
from segzero_ros.shutdown import ignoring_shutdown

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
        self._lost: dict[int, Track] = {}  # in the last followed frame, by id
        self._segmentation = create_output(node, SegmentationMessage, "~/segmentation")
        self._reasoning = create_output(node, String, "~/reasoning")
        self._stream = create_output(node, ReasoningText, "~/reasoning/stream", TEXT_QOS)
        self._answer = create_output(node, SegmentationMessage, "~/answer", LATCHED_QOS)
        self._points = create_output(node, PointCloud2, "~/points")
        self._pictures = PictureOutputs(node)
        self._standard = StandardOutputs(node)
        self._age = FrameAge(node)

    # Queries

    def begin_query(self, query: Query) -> None:
        """Expect reasoning for an accepted query; `finish_query` ends it."""
        goal = f" for goal {query.goal!r}" if query.goal else ""
        self._log.info(f"Question {query.id}{goal}: {query.text.strip()!r}")
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

    def finish_query(
        self, query: Query, result: Segmentation | Exception, tracks: Sequence[Track] = ()
    ) -> None:
        """Publish and count the end of a query.

        Args:
            query: The query; call it once for each.
            result: The answer, or what prevented it.
            tracks: Of the answer's objects.
        """
        with self._text_lock:
            stream = self._streams.pop(query.id, ThinkingStream())
            if not stream.ended:
                self._publish_text(query, stream.end(), True)
        if isinstance(result, Segmentation):
            try:
                assert query.frame is not None  # it was answered
                message = self._publish_answer(query, query.frame, result, tracks)
                latency = time.monotonic() - query.received
                end = QueryEnd.ANSWERED if result.objects else QueryEnd.NOTHING
                self._diagnostics.count_query(end, latency=latency)
                self._log_answer(query, result, latency, message.latency)
            except Exception as error:
                message = self._fail(query, error)
        else:
            message = self._fail(query, result)
        if query.on_end:
            with self._until_shutdown():
                query.on_end(message)

    def publish_partial(
        self, query: Query, objects: Sequence[SegmentedObject], tracks: Sequence[Track]
    ) -> None:
        """Publish the first objects of an answer that is still being written.

        Args:
            query: The query under way.
            objects: Those whose masks are drawn.
            tracks: Theirs.
        """
        frame = query.frame
        assert frame is not None  # the model reads it
        height, width = frame.pixels().shape[:2]
        answer = Segmentation(query.text, "", "", (width, height), tuple(objects))
        mask = self._pictures.mask(answer, frame.message.header)
        message = messages.answered(query, answer, tracks, mask, latency=self._age(frame))
        message.state = SegmentationMessage.PARTIAL
        self._publish(self._segmentation, message)

    def _publish_text(self, query: Query, text: str, end: bool) -> None:
        if not (text or end):
            return
        self._publish(
            self._stream,
            ReasoningText(
                header=query.header, query_id=query.id, goal=query.goal, text=text, end=end
            ),
        )
        if text and query.on_text:
            with self._until_shutdown():
                query.on_text(text)

    def _publish_answer(
        self, query: Query, frame: Frame, answer: Segmentation, tracks: Sequence[Track]
    ) -> SegmentationMessage:
        mask, located = self._publish_mask(frame, answer)
        message = messages.answered(
            query, answer, tracks, mask, located=located, latency=self._age(frame)
        )
        self._publish_result(message, located)
        self._publish(self._answer, message)
        self._publish(self._reasoning, String(data=message.reasoning))
        return message

    def _log_answer(self, query: Query, answer: Segmentation, seconds: float, age: float) -> None:
        count = len(answer.objects)
        found = "nothing" if not count else f"{count} object{'s' if count > 1 else ''}"
        self._log.info(
            f"Question {query.id} was answered: {found}, after {seconds:.1f} s, on an image "
            f"{age:.1f} s old."
        )
        for reason in answer.dropped:
            self._log.warning(f"Question {query.id}, a part of the answer was left out: {reason}")

    def _fail(self, query: Query, error: Exception) -> SegmentationMessage:
        reason = self.explain(error)
        end = QueryEnd.FAILED
        if isinstance(error, Stopped):
            end = QueryEnd.REPLACED if isinstance(error, Replaced) else QueryEnd.STOPPED
            self._diagnostics.count_query(end)
            self._log.info(f"Question {query.id} was stopped: {reason}.")
        else:
            self._diagnostics.count_query(end, error=reason)
            self._log.warning(f"Question {query.id} failed: {reason}")
        message = messages.failed(
            query, error_code(error), reason, query.header, latency=self._age(query.frame)
        )
        self._publish(self._segmentation, message)
        return message

    # Following

    def set_followed(self, answers: Sequence[FollowedAnswer]) -> None:
        """Report the answers whose objects are followed from now on."""
        texts = [f"{answer.query.id}: {answer.query.text}" for answer in answers]
        self._diagnostics.set_followed_query(", ".join(texts))
        if not answers:
            with self._until_shutdown():
                self._standard.clear()

    def log_stopped(self, queries: Sequence[Query], reason: str) -> None:
        """Log that the objects of queries are followed no longer."""
        for query in queries:
            self._log.info(f"The objects of question {query.id} are forgotten: {reason}.")

    def publish_tracked(
        self,
        answers: Sequence[FollowedAnswer],
        frame: Frame,
        size: tuple[int, int],
        seen: Sequence[TrackedObject],
    ) -> None:
        """Publish the objects in a later frame.

        Args:
            answers: The followed answers.
            frame: The later frame.
            size: Its (width, height) in pixels.
            seen: Their objects that have a box; others are left out.
        """
        tracks = {track.id: track for answer in answers for track in answer.tracks}
        objects = tuple(
            SegmentedObject(item.id, item.box, (), item.mask, item.score, tracks[item.id].label)
            for item in seen
            if item.box and item.id in tracks
        )
        texts = " · ".join(dict.fromkeys(answer.query.text.strip() for answer in answers))
        newest = max(answers, key=lambda answer: answer.query.id)
        segmentation = Segmentation(texts, newest.reasoning, "", size, objects)
        mask, located = self._publish_mask(frame, segmentation)
        age = self._age(frame)
        message = messages.tracked(answers, segmentation, mask, located=located, latency=age)
        self._publish_result(message, located)
        self._log_lost({track.id: track for track in tracks.values() if track.id in message.lost})
        self._diagnostics.count_frame(
            time.monotonic() - frame.received, age, seen=len(objects), lost=len(message.lost)
        )

    def _log_lost(self, lost: dict[int, Track]) -> None:
        for number, track in lost.items():
            if self._lost.get(number) != track:
                self._log.info(f"Object {number} ({track.label[:80]}) is not seen any more.")
        self._lost = lost

    def count_skipped(self, count: int) -> None:
        """Count frames that came but were not tracked."""
        self._diagnostics.count_skipped(count)

    def report_bad_image(self, error: ConversionError) -> None:
        """Count and log a frame without a usable image."""
        self._diagnostics.count_bad_image(str(error))
        self._log.warning(f"A frame was skipped: {error}", throttle_duration_sec=_LOG_PERIOD)

    def publish_reask(
        self, query: Query, result: Segmentation | Exception, tracks: Sequence[Track]
    ) -> None:
        """Publish the answer to a repeated query; without objects, only log it.

        Args:
            query: The repeated query.
            result: The answer, or what prevented it.
            tracks: Of the answer's objects.
        """
        if isinstance(result, Exception):
            self._log.warning(f"Asking question {query.id} again failed: {self.explain(result)}")
        elif not result.objects:
            self._log.info(f"Asking question {query.id} again found nothing.")
        else:
            assert query.frame is not None  # it was answered
            self._publish_answer(query, query.frame, result, tracks)

    def log(self, text: str) -> None:
        """Log what happened."""
        self._log.info(text)

    def report_error(self, error: Exception) -> None:
        """Log and diagnose an error that belongs to no query."""
        self._log.error(f"A result was lost: {self.explain(error)}")

    def fail_following(self, query: Query, frame: Frame | None, error: Exception) -> None:
        """Publish why the following ended.

        Args:
            query: The followed query.
            frame: The frame that could not be followed.
            error: What went wrong.
        """
        if not self._node.context.ok():
            return  # ROS was shut down, which is what went wrong
        reason = f"following ended: {self.explain(error)}"
        self._log.warning(f"Question {query.id}: {reason}")
        message = messages.failed(
            query,
            SegmentationMessage.ERROR_FOLLOWING_ENDED,
            reason,
            frame.message.header if frame else Header(),
            latency=self._age(frame),
        )
        self._publish(self._segmentation, message)

    def describe(self, error: Exception) -> tuple[int, str]:
        """Return an error's code in Segmentation, and its text."""
        return error_code(error), self.explain(error)

    def shown_message(
        self, query: Query, objects: Sequence[SegmentedObject], tracks: Sequence[Track]
    ) -> SegmentationMessage:
        """Make the message for objects that were shown in the query's frame."""
        frame = query.frame
        assert frame is not None  # the objects were drawn in it
        answer = Segmentation("", "", "", objects[0].mask.shape[::-1], tuple(objects))
        mask = self._pictures.mask(answer, frame.message.header)
        return messages.answered(query, answer, tracks, mask, latency=self._age(frame))

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
        with self._until_shutdown():
            self._standard.publish(message, located)

    def _publish(self, publisher: Publisher, message: Any) -> None:
        with self._until_shutdown():
            publisher.publish(message)

    @contextmanager
    def _until_shutdown(self) -> Iterator[None]:
        """Ignore the errors of the block once ROS was shut down."""
        with ignoring_shutdown(self._node.context):
            yield
