"""Ask a running perception node a question; print its reasoning and the answer."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segzero.errors import BadQuestion
from segzero.terminal import escape_unprintable, utf8_argument
from segzero_ros.client.client import SegZeroClient
from segzero_ros.client.connection import NoAnswer
from segzero_ros.client.query_handle import QueryHandle
from segzero_ros.client.reply import state_name
from segzero_ros.msg import Segmentation, SegmentedObject
from segzero_ros.results.messages import mask_ids

_LINE_PERIOD = 0.25  # seconds between the lines about followed frames
_CANCEL_TIMEOUT = 5.0  # seconds for the node to stop


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; None takes those of the process.

    Returns:
        0, 1 without an answer, 2 for a bad question, 130 if ctrl-C cancelled the query.
    """
    escape_unprintable()
    argv = list(sys.argv if argv is None else ["ask", *argv])
    arguments = _parser().parse_args(remove_ros_args(argv)[1:])
    try:
        # rclpy's own handler would shut ROS down before the query can be cancelled.
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        with SegZeroClient(perception=arguments.node) as client:
            return _ask(client, arguments)
    except BadQuestion as error:
        return _fail(error, 2)
    except NoAnswer as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # as with `| head -n 1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        rclpy.try_shutdown()


def _ask(client: SegZeroClient, arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + arguments.timeout
    query = client.ask(arguments.question, timeout=arguments.timeout, goal=arguments.goal)
    try:
        printed = "" if arguments.json else _print_reasoning(query, deadline - time.monotonic())
        result = query.wait(deadline - time.monotonic()).segmentation
    except (KeyboardInterrupt, BrokenPipeError, NoAnswer):
        query.cancel()
        with suppress(NoAnswer):
            query.wait(_CANCEL_TIMEOUT)
        raise
    print(_json(result) if arguments.json else _text(result, printed), flush=True)
    if result.state == Segmentation.FAILED:
        return 1
    if arguments.follow and result.state == Segmentation.ANSWERED:
        _follow(client, query, arguments)
    return 0


def _print_reasoning(query: QueryHandle, timeout: float) -> str:
    """Print the reasoning while it is generated, and return it."""
    try:
        for piece in query.stream(timeout):
            print(piece, end="", flush=True)
    finally:
        if query.text:
            print(flush=True)
    return query.text


def _follow(client: SegZeroClient, query: QueryHandle, arguments: argparse.Namespace) -> None:
    printed = 0.0
    try:
        for result in query.follow(arguments.timeout):
            if arguments.json:
                print(_json(result), flush=True)
            elif time.monotonic() - printed > _LINE_PERIOD:
                printed = time.monotonic()
                print(f"{_line(result)} ({client.age(result):.2f} s old)", flush=True)
    except KeyboardInterrupt:
        return  # the ordinary end
    raise NoAnswer("following ended: another question replaced this one")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ask", description=__doc__, epilog="ROS arguments follow after --ros-args."
    )
    parser.add_argument(
        "question", type=utf8_argument, help="what to look for, such as 'the red ball'"
    )
    parser.add_argument(
        "--node", default="segzero", help="name of the perception node (default: %(default)s)"
    )
    parser.add_argument("--goal", default="", help="name of the goal whose question this replaces")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="seconds (default: %(default)s)"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on with the frames that follow, until ctrl-C"
    )
    parser.add_argument(
        "--json", action="store_true", help="print each result as a line of JSON, and only that"
    )
    return parser


def _text(result: Segmentation, printed: str) -> str:
    lines = [f"{state_name(result)}: {result.error or result.query}"]
    if result.reasoning.strip() != printed.strip():  # pieces were lost on the way
        lines.insert(0, result.reasoning)
    for item in result.objects:
        lines.append(
            f"{item.id}: {_place(item)}, {_area(item, result)} pixels, score {item.score:.2f}"
        )
    lines += [f"left out: {reason}" for reason in result.dropped]
    return "\n".join(lines)


def _line(result: Segmentation) -> str:
    """A followed frame in one line."""
    seen = {item.id: _place(item) for item in result.objects}
    lost = {int(item_id): "lost" for item_id in result.lost}
    items = [f"{item_id}: {what}" for item_id, what in sorted((seen | lost).items())]
    return "; ".join(filter(None, [state_name(result), *items, result.error]))


def _place(item: SegmentedObject) -> str:
    x1, y1, x2, y2 = (round(float(value)) for value in item.box)
    place = f"box {x1},{y1} to {x2},{y2}"
    if item.located:
        where = item.centroid
        place += f", at {where.x:.3f} {where.y:.3f} {where.z:.3f} m"
    return place


def _area(item: SegmentedObject, result: Segmentation) -> int:
    """The object's pixels in the mask."""
    return int(np.count_nonzero(mask_ids(result.mask) == item.id))


def _json(result: Segmentation) -> str:
    stamp = result.header.stamp
    summary = {
        "state": state_name(result),
        "question": result.query,
        "query_id": result.query_id,
        "goal": result.goal,
        "request_id": result.request_id,
        "stamp": f"{stamp.sec}.{stamp.nanosec:09d}",
        "frame_id": result.header.frame_id,
        "reasoning": result.reasoning,
        "error": result.error,
        "error_code": result.error_code,
        "latency": result.latency,
        "dropped": list(result.dropped),
        "size": [result.mask.width, result.mask.height],
        "objects": [_item(item, result) for item in result.objects],
        "lost": list(result.lost),
        "points_frame_id": result.points_frame_id,
    }
    return json.dumps(summary)


def _item(item: SegmentedObject, result: Segmentation) -> dict[str, object]:
    summary = {
        "id": item.id,
        "track_id": item.track_id,
        "goal": item.goal,
        "label": item.label,
        "box": [float(value) for value in item.box],
        "points": [[point.x, point.y] for point in item.points],
        "score": item.score,
        "area": _area(item, result),
    }
    if item.located:
        summary["centroid"] = [item.centroid.x, item.centroid.y, item.centroid.z]
        summary["extent"] = [item.extent.x, item.extent.y, item.extent.z]
    return summary


def _fail(reason: object, code: int) -> int:
    print(f"ask: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
