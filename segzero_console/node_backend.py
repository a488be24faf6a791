"""A running perception node: asked by its action, watched by its topics."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from segzero.errors import BadImage
from segzero.types import ObjectPrompt, SegmentedObject
from segzero_console.backend import Ending, FollowedGoal, Question, Sink, Unavailable
from segzero_console.frames import FrameStore, Picture
from segzero_console.lights import report_lights
from segzero_console.messages import Result, SourceInfo
from segzero_console.node_lights import NodeLights
from segzero_console.node_questions import NodeQuestions
from segzero_console.node_results import (
    ResultReader,
    error_word,
    image_message,
    segmented,
    stamp_ns,
    to_message,
)
from segzero_ros.client.connection import Connection
from segzero_ros.images.compressed import compressed_to_rgb
from segzero_ros.images.conversions import to_rgb
from segzero_ros.msg import Segmentation
from segzero_ros.qos import CAMERA_QOS
from segzero_ros.results.messages import mask_ids
from segzero_ros.shutdown import until_shutdown
from segzero_ros.srv import AddObjects, ClearGoal, RemoveObjects

DRAWING_GOAL = "console drawing"
"""Goal of objects that are drawn for a correction, and removed at once."""
_TIMEOUT = 10.0


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
        self._goals: list[FollowedGoal] = []
        self._lights = NodeLights(self.profile, image, self._frames)
        self._index = -1
        self._drawing = threading.Lock()
        self._stop = threading.Event()
        self._executor = SingleThreadedExecutor(context=node.context)

    def start(self, sink: Sink) -> None:
        """Subscribe to the camera, the results and the diagnostics."""
        self._sink = sink
        self._questions = NodeQuestions(self._connection, sink, self._picture)
        node, services = self._node, self._connection.node
        kind, put = (
            (CompressedImage, self._on_compressed)
            if self._image.endswith("/compressed")
            else (Image, self._on_image)
        )
        node.create_subscription(kind, self._image, self._safe(put), CAMERA_QOS)
        hear = self._safe(self._lights.hear)
        node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
        name = self.profile
        self._add = services.create_client(AddObjects, f"{name}/add_objects")
        self._remove = services.create_client(RemoveObjects, f"{name}/remove_objects")
        self._connection.listen(self._safe(self._on_segmentation))
        self._executor.add_node(node)
        self._threads = [
            threading.Thread(target=work, name=f"console-{work.__name__}", daemon=True)
            for work in (self._spin, self._report)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, question: Question) -> None:
        """Ask; raises SegZeroError if it can't be asked."""
        self._questions.ask(question)

    def cancel(self, request: str) -> bool:
        """Stop a question."""
        return self._questions.cancel(request)

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
        self._questions.cancel_all()
        self._frames.close()
        self._connection.close()
        self._executor.shutdown()
        for thread in self._threads:
            thread.join()
        self._node.destroy_node()

    def _spin(self) -> None:
        with until_shutdown():
            self._executor.spin()

    def _safe(self, receive: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback whose errors are told and end no thread; the next message is taken again."""

        def safe(message: Any) -> None:
            try:
                receive(message)
            except Exception as error:
                self._sink.trouble("a message of the node can't be used", error)

        return safe

    def _on_segmentation(self, message: Segmentation) -> None:
        result = self._reader.read(message)
        is_open = self._questions.is_open(result.request)
        own = is_open or self._questions.has_ended(result.request)
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
        elif own and not (result.state == "partial" and is_open):
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
            self._lights.bad_image = str(error)
            return
        self._lights.bad_image = ""
        self._index += 1
        stamp = stamp_ns(header) or time.time_ns()
        self._sink.frame(self._frames.put(stamp, rgb, self._index))

    def _report(self) -> None:
        report_lights(self._sink, self._lights.now, self._stop)

    def _add_objects(self, picture: Picture, prompts: Sequence[ObjectPrompt], goal: str) -> Any:
        request = AddObjects.Request(
            goal=goal,
            objects=[to_message(prompt) for prompt in prompts],
            image=image_message(picture),
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
