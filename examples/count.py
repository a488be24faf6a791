"""Count what is there: ask once and count the objects of the answer.

    python examples/count.py "all balls"

It needs an active perception node. The exit status is 0 if something was found, 3 if nothing
matches, 1 without an answer.
"""

import argparse
import sys
from collections.abc import Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segzero.errors import BadQuestion
from segzero_ros.client import NoAnswer, Outcome, SegZeroClient, state_name
from segzero_ros.msg import SegmentedObject

GOAL = "count"  # a name of its own: what other programs follow is left alone
NOTHING = 3


def count(client: SegZeroClient, question: str, timeout: float) -> list[SegmentedObject]:
    """Return the objects that match; raises NoAnswer if it isn't known which do."""
    reply = client.ask(question, timeout=timeout, goal=GOAL).wait(timeout)
    result = reply.segmentation
    if reply.outcome not in (Outcome.ANSWERED, Outcome.NOTHING):
        # Programs tell failures apart by `error_code`; `error` is for people.
        raise NoAnswer(f"{state_name(result)} ({result.error_code}): {result.error}")
    if result.dropped:
        print(f"count: left out: {'; '.join(result.dropped)}", file=sys.stderr)
    return list(result.objects)


def describe(item: SegmentedObject) -> str:
    """One object in a line."""
    left, top, right, bottom = (round(float(value)) for value in item.box)
    line = f"{item.label}: box {left},{top} to {right},{bottom}, score {item.score:.2f}"
    if item.located:  # with `use_depth`
        line += f", {item.centroid.z:.2f} m"
    return line


def main(argv: Sequence[str] = sys.argv) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", help="what to count, such as 'all balls'")
    parser.add_argument("--node", default="segzero", help="the perception node")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for the answer")
    arguments = parser.parse_args(remove_ros_args(list(argv))[1:])
    rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)  # Python's own
    try:
        with SegZeroClient(perception=arguments.node) as client:
            objects = count(client, arguments.question, arguments.timeout)
            client.clear(goal=GOAL)  # nobody needs them to be followed
    except (NoAnswer, BadQuestion) as error:
        print(f"count: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rclpy.try_shutdown()
    print(len(objects))
    for item in objects:
        print(describe(item))
    return 0 if objects else NOTHING


if __name__ == "__main__":
    sys.exit(main())
