"""The open questions of a console to a node: each has a thread that waits for its end."""

import logging
import threading
import time
from collections.abc import Callable

from segzero.reasoning.prompts import clean_question
from segzero_console.backend import Ending, Question, Sink, error_code, error_text
from segzero_console.frames import Picture
from segzero_console.messages import Ended, Result
from segzero_console.node_results import ResultReader, error_word, image_message
from segzero_ros.action import Segment
from segzero_ros.client import NoAnswer, Outcome, QueryHandle
from segzero_ros.client.connection import Connection

_LOG = logging.getLogger(__name__)
MAX_QUESTIONS = 16
CONNECT_TIMEOUT = 10.0
_ANSWER_TIMEOUT = 3600.0
"""Seconds for an answer; the node has its own limits."""
_REMEMBERED = 1000


class NodeQuestions:
    """Asks a node.

    Args:
        connection: To the node.
        sink: Gets thinking, results and ends.
        picture_of: Returns the picture of a result.
    """

    def __init__(
        self,
        connection: Connection,
        sink: Sink,
        picture_of: Callable[[Result, Picture | None], Picture | None],
    ) -> None:
        self._connection = connection
        self._sink = sink
        self._picture_of = picture_of
        self._lock = threading.Lock()
        self._handles: dict[str, QueryHandle] = {}  # of open questions
        self._ended: dict[str, None] = {}  # requests of this console, the oldest first

    def is_open(self, request: str) -> bool:
        """Whether a question of this console is open."""
        return request in self._handles

    def has_ended(self, request: str) -> bool:
        """Whether a question of this console ended."""
        return request in self._ended

    def ask(self, question: Question) -> None:
        """Ask; raises SegZeroError if it can't be asked."""
        clean_question(question.text)
        request = question.request
        with self._lock:
            if request in self._handles or request in self._ended:
                raise Ending("bad_request", f"the request {request!r} was used already")
            if len(self._handles) >= MAX_QUESTIONS:
                raise Ending("busy", f"{MAX_QUESTIONS} questions are open")
        self._connection.connect(CONNECT_TIMEOUT)
        goal = Segment.Goal(query=question.text, goal=question.goal, request_id=request)
        if question.picture:
            goal.image = image_message(question.picture)
        handle = QueryHandle(self._connection, goal)
        with self._lock:
            self._handles[request] = handle
        threading.Thread(
            target=self._attend, args=(question, handle), name="console-question", daemon=True
        ).start()

    def cancel(self, request: str) -> bool:
        """Stop a question; False if there is none of that request."""
        with self._lock:
            handle = self._handles.get(request)
        if handle:
            handle.cancel()
        return handle is not None

    def cancel_all(self) -> None:
        """Stop all questions of this console."""
        with self._lock:
            handles = list(self._handles.values())
        for handle in handles:
            handle.cancel()

    def _attend(self, question: Question, handle: QueryHandle) -> None:
        """Hand on what a question brings, until it ends; whatever happens, it ends."""
        try:
            ended = self._wait(question, handle)
        except Exception as error:
            code = "no_answer" if isinstance(error, NoAnswer) else error_code(error)
            if not isinstance(error, NoAnswer):
                _LOG.error("a question failed", exc_info=error)
            self._finish(question.request)
            ended = Ended(
                question.request,
                question.goal,
                "failed",
                handle.text,
                code,
                error_text(error),
                question=question.text,
            )
        self._sink.ended(ended)

    def _wait(self, question: Question, handle: QueryHandle) -> Ended:
        request, goal, started = question.request, question.goal, time.monotonic()
        thought, first = 0.0, 0.0
        for piece in handle.stream(_ANSWER_TIMEOUT):
            thought = time.monotonic()
            first = first or thought
            self._sink.thinking(request, goal, piece)
        reply = handle.wait(_ANSWER_TIMEOUT)
        done = time.monotonic()
        self._finish(request)
        seconds = {"waiting": (first or done) - started}
        if thought:
            seconds |= {"thinking": thought - first, "masks": done - thought}
        message = reply.segmentation
        result = ResultReader().read(message)
        if reply.outcome in (Outcome.ANSWERED, Outcome.NOTHING):
            self._sink.result(result, self._picture_of(result, question.picture))
        code = error_word(message.error_code)
        if reply.outcome is Outcome.CANCELED:
            code = "cancelled"
        return Ended(
            request,
            goal,
            result.state,
            str(message.reasoning) or handle.text,
            code,
            str(message.error),
            seconds,
            len(message.objects),
            question.text,
        )

    def _finish(self, request: str) -> None:
        with self._lock:
            self._handles.pop(request, None)
            self._ended[request] = None
            if len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
