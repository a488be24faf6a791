"""The services ~/add_objects and ~/remove_objects: objects without a question."""

import math
from collections.abc import Callable

from rclpy.node import Node
from rclpy.task import Future

from segzero.errors import BadPrompt
from segzero.tracks import Track
from segzero.types import Box, ObjectPrompt, Point, SegmentedObject
from segzero_ros.msg import ObjectPrompt as ObjectPromptMessage
from segzero_ros.query import ShownObjects
from segzero_ros.questions.query_processor import QueryProcessor
from segzero_ros.results.reporter import Reporter
from segzero_ros.srv import AddObjects, RemoveObjects

INACTIVE = "the node isn't active: activate it first"
MAX_PROMPTS = 120
"""Most objects of one request, as of one answer."""


class ObjectService:
    """The services; for the thread that spins the node.

    Args:
        node: Gets the services.
        processor: Returns what follows objects, or None while the node isn't active.
        reporter: Explains errors and makes messages.
        next_id: Counts the queries of the node.
    """

    def __init__(
        self,
        node: Node,
        processor: Callable[[], QueryProcessor | None],
        reporter: Reporter,
        next_id: Callable[[], int],
    ) -> None:
        self._node = node
        self._processor = processor
        self._reporter = reporter
        self._next_id = next_id
        node.create_service(AddObjects, "~/add_objects", self._on_add)
        node.create_service(RemoveObjects, "~/remove_objects", self._on_remove)

    async def _on_add(
        self, request: AddObjects.Request, response: AddObjects.Response
    ) -> AddObjects.Response:
        processor, executor = self._processor(), self._node.executor
        if processor is None:
            response.message = INACTIVE
            return response
        assert executor  # this very callback runs in it
        image = request.image if request.image.width else None
        query = processor.make_query(self._next_id(), "", image, goal=request.goal)
        ended: Future = Future()

        def on_end(
            result: tuple[SegmentedObject, ...] | Exception, tracks: tuple[Track, ...]
        ) -> None:
            ended.set_result((result, tracks))
            executor.wake()  # it checks awaited futures only when something else happens

        try:
            processor.add_objects(ShownObjects(query, read_prompts(request.objects), on_end))
            result, tracks = await ended
        except Exception as error:
            result, tracks = error, ()
        if isinstance(result, Exception):
            response.error_code, response.message = self._reporter.describe(result)
            return response
        message = self._reporter.outputs.shown_message(query, result, tracks)
        response.success, response.added, response.mask = True, message.objects, message.mask
        return response

    def _on_remove(
        self, request: RemoveObjects.Request, response: RemoveObjects.Response
    ) -> RemoveObjects.Response:
        processor = self._processor()
        if processor is None:
            response.message = INACTIVE
            return response
        unknown = sorted(set(request.track_ids) - processor.remove_objects(request.track_ids))
        response.success = not unknown
        if unknown:
            response.message = f"not followed: {', '.join(map(str, unknown))}"
        return response


def read_prompts(messages: list[ObjectPromptMessage]) -> tuple[ObjectPrompt, ...]:
    """Read the objects of a request.

    Raises:
        BadPrompt: There are none or too many, or a number isn't finite.
    """
    if not 1 <= len(messages) <= MAX_PROMPTS:
        raise BadPrompt(f"a request has 1 to {MAX_PROMPTS} objects, not {len(messages)}")
    return tuple(_prompt(place, message) for place, message in enumerate(messages, start=1))


def _prompt(place: int, message: ObjectPromptMessage) -> ObjectPrompt:
    box = [float(value) for value in message.box]
    points, negative = (
        tuple(Point(float(point.x), float(point.y)) for point in group)
        for group in (message.positive, message.negative)
    )
    if len(box) not in (0, 4):
        raise BadPrompt(f"the box of object {place} has {len(box)} numbers, not 4 or none")
    numbers = [*box, *(value for point in (*points, *negative) for value in (point.x, point.y))]
    if not all(map(math.isfinite, numbers)):
        raise BadPrompt(f"object {place} has a number that isn't finite")
    return ObjectPrompt(Box(*box) if box else None, points, negative, message.label[:100])
