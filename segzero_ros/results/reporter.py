"""Publishes, counts and logs what becomes of queries."""

import threading
import time
import traceback
from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from segzero.errors import DeviceOutOfMemory, SegZeroError
from segzero.reasoning.thinking import ThinkingStream
from segzero.tracks import Track
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_ros.images import camera
from segzero_ros.images.conversions import ConversionError
from segzero_ros.images.frames import Frame
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.query import FollowedAnswer, NoFrame, Query, Replaced, Stopped
from segzero_ros.results.diagnostics import DiagnosticsCollector, QueryEnd
from segzero_ros.results.error_codes import error_code
from segzero_ros.results.result_outputs import ResultOutputs
from segzero_ros.results.watchdog import why_silent
from segzero_ros.shutdown import ignoring_shutdown

_LOG_PERIOD = 5.0
"""Least number of seconds between two log lines about unusable images."""


class Reporter:
    """Publishes results and keeps the diagnostics; its methods are for any thread.

    None of them raises.

    Args:
        node: Gets the topics.
        diagnostics: Counts what happens.

    Attributes:
        outputs: The topics.
    """

    def __init__(self, node: LifecycleNode, diagnostics: DiagnosticsCollector) -> None:
        self.outputs = ResultOutputs(node)
        self._node = node
        self._diagnostics = diagnostics
        self._log = node.get_logger()
        self._text_lock = threading.Lock()
        self._streams: dict[int, ThinkingStream] = {}  # by query id
        self._lost: dict[int, Track] = {}  # in the last followed frame, by id

    # Queries

    def begin_query(self, query: Query) -> None:
        """Expect reasoning for an accepted query; `finish_query` ends it."""
        goal = f" for goal {query.goal!r}" if query.goal else ""
        self._log.info(f"Question {query.id}{goal}: {query.text.strip()!r}")
        with self._text_lock:
            self._streams[query.id] = ThinkingStream()

    def begin_inference(self, frame: Frame) -> None:
        """Keep the depth of the frame that the model now reads."""
        if self.outputs.locator:
            self.outputs.locator.pin_depth(frame.message.header.stamp)

    def publish_reasoning(self, query: Query, piece: str) -> None:
        """Publish the reasoning in a piece of the completion.

        Args:
            query: The query under way; nothing is published after its end.
            piece: The next text of the completion.
        """
        with self._text_lock:
            stream = self._streams.get(query.id)
            if stream and not stream.ended:
                self.outputs.publish_text(query, stream.feed(piece), stream.ended)

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
                self.outputs.publish_text(query, stream.end(), True)
        if isinstance(result, Segmentation):
            try:
                assert query.frame is not None  # it was answered
                message = self.outputs.publish_answer(query, query.frame, result, tracks)
                latency = time.monotonic() - query.received
                end = QueryEnd.ANSWERED if result.objects else QueryEnd.NOTHING
                self._diagnostics.count_query(end, latency=latency)
                self._log_answer(query, result, latency, message.latency)
            except Exception as error:
                message = self._fail(query, error)
        else:
            message = self._fail(query, result)
        if query.on_end:
            with ignoring_shutdown(self._node.context):
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
        self.outputs.publish_partial(query, objects, tracks)

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
        return self.outputs.publish_failed(
            query, error_code(error), reason, query.header, query.frame
        )

    # Following

    def set_followed(self, answers: Sequence[FollowedAnswer]) -> None:
        """Report the answers whose objects are followed from now on."""
        texts = [f"{answer.query.id}: {answer.query.text}" for answer in answers]
        self._diagnostics.set_followed_query(", ".join(texts))
        if not answers:
            self.outputs.clear()

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
        message = self.outputs.publish_tracked(answers, frame, segmentation)
        self._log_lost({track.id: track for track in tracks.values() if track.id in message.lost})
        self._diagnostics.count_frame(
            time.monotonic() - frame.received,
            message.latency,
            seen=len(objects),
            lost=len(message.lost),
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
            self.outputs.publish_answer(query, query.frame, result, tracks)

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
        header = frame.message.header if frame else Header()
        code = SegmentationMessage.ERROR_FOLLOWING_ENDED
        self.outputs.publish_failed(query, code, reason, header, frame)

    def describe(self, error: Exception) -> tuple[int, str]:
        """Return an error's code in Segmentation, and its text."""
        return error_code(error), self.explain(error)

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
