"""A running perception node: asked by its action, watched by its topics."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from segzero.errors import BadImage
from segzero.reasoning.prompts import clean_question
from segzero.types import ObjectPrompt, SegmentedObject
from segzero_console.backend import Ending, FollowedGoal, Question, Sink, Unavailable
from segzero_console.frames import FrameStore, Picture
from segzero_console.messages import Ended, Level, Light, Result, SourceInfo
from segzero_console.node_results import (
    ResultReader,
    error_word,
    segmented,
    set_stamp,
    stamp_ns,
    to_message,
)
from segzero_console.rates import Rate
from segzero_ros.action import Segment
from segzero_ros.client import NoAnswer, Outcome, QueryHandle
from segzero_ros.client.connection import Connection
from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.images.conversions import from_array, to_rgb
from segzero_ros.msg import Segmentation
from segzero_ros.qos import CAMERA_QOS
from segzero_ros.results.messages import mask_ids
from segzero_ros.shutdown import until_shutdown
from segzero_ros.srv import AddObjects, ClearGoal, RemoveObjects

_LOG = logging.getLogger(__name__)
DRAWING_GOAL = "console drawing"
"""Goal of objects that are drawn for a correction, and removed at once."""
MAX_QUESTIONS = 16
_TIMEOUT = 10.0
_ANSWER_TIMEOUT = 3600.0
"""Seconds for an answer; the node has its own limits."""
_STALE = 3.0
_LEVELS: dict[bytes, Level] = {
    DiagnosticStatus.OK: "ok",
    DiagnosticStatus.WARN: "warn",
    DiagnosticStatus.ERROR: "error",
    DiagnosticStatus.STALE: "stale",
}


class NodeBackend:
    """Asks a node and shows what it publishes.

    Args:
        node: The console's own node; this object spins it.
        perception: Name of the perception node.
        image: The camera's topic; a name that ends in /compressed holds CompressedImage.
    """

    max_goals = 8
    rate = 0.0

    def __init__(self, node: Node, perception: str, image: str) -> None:
        self._node = node
        self._image = image
        self._connection = Connection(node, perception)
        self.profile = self._connection.perception
        self.info = SourceInfo("node", f"{self.profile} on {image}", live=True)
        self.can = ("ask", "cancel", "correct", "save", "record")
        self._frames = FrameStore()
        self._reader = ResultReader(hidden=(DRAWING_GOAL,))
        self._lock = threading.Lock()
        self._handles: dict[str, QueryHandle] = {}  # of open questions
        self._asked: set[str] = set()  # requests of this console that have ended
        self._goals: list[FollowedGoal] = []
        self._statuses: dict[str, tuple[float, Light]] = {}
        self._bad_image = ""
        self._index = -1
        self._drawing = threading.Lock()
        self._stop = threading.Event()
        self._executor = SingleThreadedExecutor(context=node.context)

    def start(self, sink: Sink) -> None:
        """Subscribe to the camera, the results and the diagnostics."""
        self._sink = sink
        node, services = self._node, self._connection.node
        kind, put = (
            (CompressedImage, self._on_compressed)
            if self._image.endswith("/compressed")
            else (Image, self._on_image)
        )
        node.create_subscription(kind, self._image, put, CAMERA_QOS)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        name = self.profile
        self._add = services.create_client(AddObjects, f"{name}/add_objects")
        self._remove = services.create_client(RemoveObjects, f"{name}/remove_objects")
        self._connection.listen(self._on_segmentation)
        self._executor.add_node(node)
        self._threads = [
            threading.Thread(target=work, name=f"console-{work.__name__}", daemon=True)
            for work in (self._spin, self._report)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, question: Question) -> None:
        """Ask; raises SegZeroError if it can't be asked."""
        clean_question(question.text)
        request = question.request
        with self._lock:
            if request in self._handles or request in self._asked:
                raise Ending("bad_request", f"the request {request!r} was used already")
            if len(self._handles) >= MAX_QUESTIONS:
                raise Ending("busy", f"{MAX_QUESTIONS} questions are open")
        self._connection.connect(_TIMEOUT)
        goal = Segment.Goal(query=question.text, goal=question.goal, request_id=request)
        if question.picture:
            goal.image = _image_message(question.picture)
        handle = QueryHandle(self._connection, goal)
        with self._lock:
            self._handles[request] = handle
        threading.Thread(
            target=self._attend, args=(question, handle), name="console-question", daemon=True
        ).start()

    def cancel(self, request: str) -> bool:
        """Stop a question."""
        with self._lock:
            handle = self._handles.get(request)
        if handle:
            handle.cancel()
        return handle is not None

    def clear(self, goal: str | None) -> None:
        """Stop a goal's question and following, whoever asked; None for all."""
        connection = self._connection
        if goal is None:
            self._call(connection.clear, Trigger.Request())
        else:
            self._call(connection.clear_goal, ClearGoal.Request(goal=goal))

    def remove(self, track_ids: Sequence[int]) -> None:
        """Follow single objects no longer."""
        self._check(self._call(self._remove, RemoveObjects.Request(track_ids=list(track_ids))))

    def segment(
        self, picture: Picture, prompts: Sequence[ObjectPrompt]
    ) -> tuple[SegmentedObject, ...]:
        """Let the node draw objects, and remove them at once."""
        with self._drawing:
            response = self._add_objects(picture, prompts, DRAWING_GOAL)
            found = segmented(response.added, mask_ids(response.mask), picture)
            track_ids = [item.track_id for item in response.added]
            self._call(self._remove, RemoveObjects.Request(track_ids=track_ids))
        return found

    def follow(self, picture: Picture, prompts: Sequence[ObjectPrompt], goal: str) -> None:
        """Let the node draw and follow objects."""
        self._add_objects(picture, prompts, goal)

    def find(self, stamp: int) -> Picture | None:
        """A picture that is still there."""
        return self._frames.find(stamp)

    def keep(self, picture: Picture) -> None:
        """Keep a picture for corrections."""
        self._frames.keep(picture)

    def goals(self) -> list[FollowedGoal]:
        """What is followed."""
        return self._goals

    def seek(self, index: int) -> None:
        """Refuse: a camera has no other place."""
        raise Unavailable("a camera has no other place to show: only videos and folders have")

    def pause(self) -> None:
        """Do nothing: a camera goes on."""

    def play(self) -> None:
        """Do nothing: a camera goes on."""

    def close(self) -> None:
        """Cancel this console's questions and stop."""
        self._stop.set()
        with self._lock:
            handles = list(self._handles.values())
        for handle in handles:
            handle.cancel()
        self._frames.close()
        self._connection.close()
        self._executor.shutdown()
        for thread in self._threads:
            thread.join()
        self._node.destroy_node()

    def _spin(self) -> None:
        with until_shutdown():
            self._executor.spin()

    def _attend(self, question: Question, handle: QueryHandle) -> None:
        """Hand on what a question brings, until it ends."""
        request, goal, started = question.request, question.goal, time.monotonic()
        thought, first = 0.0, 0.0
        try:
            for piece in handle.stream(_ANSWER_TIMEOUT):
                thought = time.monotonic()
                first = first or thought
                self._sink.thinking(request, goal, piece)
            reply = handle.wait(_ANSWER_TIMEOUT)
        except NoAnswer as error:
            self._finish(request)
            self._sink.ended(Ended(request, goal, "failed", handle.text, "no_answer", str(error)))
            return
        done = time.monotonic()
        self._finish(request)
        seconds = {"waiting": (first or done) - started}
        if thought:
            seconds |= {"thinking": thought - first, "masks": done - thought}
        message = reply.segmentation
        result = ResultReader().read(message)
        if reply.outcome in (Outcome.ANSWERED, Outcome.NOTHING):
            self._sink.result(result, self._picture(result, question.picture))
        code = error_word(message.error_code)
        if reply.outcome is Outcome.CANCELED:
            code = "cancelled"
        self._sink.ended(
            Ended(
                request,
                goal,
                result.state,
                str(message.reasoning) or handle.text,
                code,
                str(message.error),
                seconds,
                len(message.objects),
            )
        )

    def _finish(self, request: str) -> None:
        with self._lock:
            self._handles.pop(request, None)
            self._asked.add(request)
            if len(self._asked) > 1000:
                self._asked.pop()

    def _on_segmentation(self, message: Segmentation) -> None:
        result = self._reader.read(message)
        own = result.request in self._handles or result.request in self._asked
        if result.state in ("tracked", "lost"):
            self._goals = [
                FollowedGoal(str(goal.goal), str(goal.query))
                for goal in message.goals
                if goal.goal != DRAWING_GOAL
            ]
            if not self._goals:
                return
        elif message.error_code == Segmentation.ERROR_FOLLOWING_ENDED:
            self._goals = []
        elif own and not (result.state == "partial" and result.request in self._handles):
            return  # the question's own thread hands it on
        self._sink.result(result, self._picture(result, None))

    def _picture(self, result: Result, asked: Picture | None) -> Picture | None:
        """The picture of a result; a question's own one if it had one."""
        if asked is not None:
            return asked
        picture = self._frames.find(result.stamp)
        if picture and result.state == "answered":
            self._frames.keep(picture)
        return picture

    def _on_image(self, message: Image) -> None:
        self._put(message.header, lambda: to_rgb(message))

    def _on_compressed(self, message: CompressedImage) -> None:
        self._put(message.header, lambda: compressed_to_rgb(message))

    def _put(self, header: Header, convert: Callable[[], NDArray[np.uint8]]) -> None:
        try:
            rgb = np.ascontiguousarray(convert())
        except BadImage as error:
            self._bad_image = str(error)
            return
        self._bad_image = ""
        self._index += 1
        stamp = stamp_ns(header) or time.time_ns()
        self._sink.frame(self._frames.put(stamp, rgb, self._index))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        for status in message.status:
            node, _, part = status.name.partition(": ")
            if node.lstrip("/") == self.profile.lstrip("/") and part:
                light = Light(part, _LEVELS.get(status.level, "stale"), status.message)
                self._statuses[part] = now, light

    def _report(self) -> None:
        camera = Rate()
        while not self._stop.wait(1.0):
            try:
                self._sink.lights(self._lights(camera.update(self._frames.count)))
            except Exception:
                _LOG.exception("the lights failed")

    def _lights(self, rate: float) -> list[Light]:
        newest, now = self._frames.newest(), time.monotonic()
        age = now - newest.received if newest else float("inf")
        if self._bad_image:
            picture = Light("picture", "error", self._bad_image)
        elif age > _STALE:
            gone = "never came" if newest is None else f"none for {age:.0f} s"
            picture = Light("picture", "stale", f"{self._image}: {gone}")
        else:
            picture = Light("picture", "ok", f"{self._image}: {rate:.1f} pictures a second")
        fresh = [
            light if now - at < _STALE else Light(light.name, "stale", "no news of the node")
            for at, light in list(self._statuses.values())
        ]
        if not fresh:
            fresh = [Light("node", "stale", f"no diagnostics of {self.profile}: is it running?")]
        return [picture, *fresh]

    def _add_objects(self, picture: Picture, prompts: Sequence[ObjectPrompt], goal: str) -> Any:
        request = AddObjects.Request(
            goal=goal,
            objects=[to_message(prompt) for prompt in prompts],
            image=_image_message(picture),
        )
        return self._check(self._call(self._add, request))

    def _call(self, service: Any, request: Any) -> Any:
        missing = f"no answer of {service.srv_name}: is the node active?"
        return self._connection.call(service, request, _TIMEOUT, missing)

    def _check(self, response: Any) -> Any:
        if not response.success:
            code = error_word(getattr(response, "error_code", 0)) or "failed"
            raise Ending(code, str(response.message) or "the node refused it")
        return response


def _image_message(picture: Picture) -> Image:
    header = Header()
    set_stamp(header, picture.stamp)
    return from_array(picture.rgb, header)
