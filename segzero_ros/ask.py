"""Ask a running perception node a question and wait for the answer."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from std_msgs.msg import String

from segzero.errors import BadQuestion, SegZeroError
from segzero.prompts import clean_question
from segzero_ros.msg import Segmentation
from segzero_ros.results import state_name

_QUEUE = 10


class NoAnswer(SegZeroError):
    """The question got no result of its own; the text says why."""


def ask_once(
    node: Node, question: str, timeout: float = 60.0, perception: str = "segzero"
) -> Segmentation:
    """Ask the perception node and return the result for this very question, in any state.

    node: any node that nobody spins meanwhile.
    timeout: seconds for finding the perception node and for its answer together.
    perception: name of the perception node, absolute or in the namespace of `node`.

    Raises BadQuestion before anything is sent, and NoAnswer if no active node listens, the time is
    over or somebody else's question took the place of this one.
    """
    clean_question(question)
    exchange = _Exchange(node, question, perception)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + timeout

    def spin_until(condition: Callable[[], bool]) -> bool:
        while not condition() and (left := deadline - time.monotonic()) > 0:
            executor.spin_once(min(left, 0.1))  # the graph changes without waking the executor
        return condition()

    try:
        if not spin_until(exchange.connected):
            raise NoAnswer(
                f"no active node {exchange.perception} within {timeout:g} s: start and activate "
                "it; what it says about itself is in /diagnostics"
            )
        exchange.send()
        if not spin_until(exchange.ended):
            raise NoAnswer(f"no answer within {timeout:g} s")
    finally:
        executor.shutdown()
        exchange.close()
    if exchange.result is None:
        raise NoAnswer("another question took the place of this one")
    return exchange.result


class _Exchange:
    """One question, and what is heard about it.

    A result carries the text of its question, not who asked. Hearing the questions, too, shows
    which ones came after this one; a result for one of those says that this one was replaced.
    """

    def __init__(self, node: Node, question: str, perception: str) -> None:
        self._node = node
        self._question = question
        self._sent = self._heard = self._replaced = False
        self._later: set[str] = set()
        self.perception = node.resolve_topic_name(perception)
        self.result: Segmentation | None = None
        topic = f"{self.perception}/query"
        self._results = node.create_subscription(
            Segmentation, f"{self.perception}/segmentation", self._on_result, _QUEUE
        )
        self._questions = node.create_subscription(String, topic, self._on_question, _QUEUE)
        self._publisher = node.create_publisher(String, topic, _QUEUE)

    def connected(self) -> bool:
        """Whether the node will hear the question and its result will be heard."""
        listeners = self._node.get_subscriptions_info_by_topic(self._publisher.topic_name)
        names = {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in listeners}
        return (
            self.perception in names
            and self._publisher.get_subscription_count() >= len(listeners)
            and self._results.get_publisher_count() > 0
        )

    def send(self) -> None:
        self._publisher.publish(String(data=self._question))
        self._sent = True

    def ended(self) -> bool:
        return self._replaced or self.result is not None

    def close(self) -> None:
        self._node.destroy_subscription(self._results)
        self._node.destroy_subscription(self._questions)
        self._node.destroy_publisher(self._publisher)

    def _on_question(self, message: String) -> None:
        if self._sent and message.data == self._question:
            self._heard = True
        elif self._heard:
            self._later.add(message.data)

    def _on_result(self, result: Segmentation) -> None:
        if self._sent and result.query == self._question:
            self.result = result
        elif result.query in self._later and not _is_bad(result.query):
            self._replaced = True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 without an answer, 2 if what was asked makes no sense."""
    argv = list(sys.argv if argv is None else ["ask", *argv])
    arguments = _parser().parse_args(remove_ros_args(argv)[1:])
    rclpy.init(args=argv)
    node = rclpy.create_node("ask", start_parameter_services=False)
    try:
        result = ask_once(node, arguments.question, arguments.timeout, arguments.node)
    except BadQuestion as error:
        return _fail(error, 2)
    except NoAnswer as error:
        return _fail(error, 1)
    except (KeyboardInterrupt, ExternalShutdownException):
        return _fail("interrupted", 1)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(_json(result) if arguments.json else _text(result))
    return 1 if result.state == Segmentation.FAILED else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ask", description=__doc__, epilog="ROS arguments follow after --ros-args."
    )
    parser.add_argument("question", help="what to look for, such as 'the red ball'")
    parser.add_argument(
        "--node", default="segzero", help="name of the perception node (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="seconds (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _text(result: Segmentation) -> str:
    lines = [f"{state_name(result)}: {result.error or result.query}"]
    if result.reasoning:
        lines.append(result.reasoning)
    for item in result.objects:
        x1, y1, x2, y2 = (round(float(value)) for value in item.box)
        area = result.mask.data.count(item.id)
        lines.append(
            f"{item.id}: box {x1},{y1} to {x2},{y2}, {area} pixels, score {item.score:.2f}"
        )
    return "\n".join(lines)


def _json(result: Segmentation) -> str:
    stamp = result.header.stamp
    summary = {
        "state": state_name(result),
        "question": result.query,
        "query_id": result.query_id,
        "stamp": f"{stamp.sec}.{stamp.nanosec:09d}",
        "frame_id": result.header.frame_id,
        "reasoning": result.reasoning,
        "error": result.error,
        "size": [result.mask.width, result.mask.height],
        "objects": [
            {
                "id": item.id,
                "box": [float(value) for value in item.box],
                "points": [[point.x, point.y] for point in item.points],
                "score": item.score,
                "area": result.mask.data.count(item.id),
            }
            for item in result.objects
        ],
    }
    return json.dumps(summary, ensure_ascii=False)


def _is_bad(question: str) -> bool:
    """Whether the perception node refuses this text without stopping what runs."""
    try:
        clean_question(question)
    except BadQuestion:
        return True
    return False


def _fail(reason: object, code: int) -> int:
    print(f"ask: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
