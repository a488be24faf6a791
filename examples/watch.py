"""Keep watching, and report when it is gone.

    python examples/watch.py "the mug" --patience 2

It asks once; then the node follows the objects, and no model has to think. The exit status is 4
when the last object has been gone for `--patience` seconds, 3 if nothing matches at first, 1 if the
node can't say.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segzero.errors import BadQuestion
from segzero_ros.client import NoAnswer, Outcome, QueryHandle, SegZeroClient, state_name
from segzero_ros.msg import Segmentation

GOAL = "watch"
NOTHING, GONE = 3, 4


def changes(frames: Iterable[Segmentation], patience: float) -> Iterator[str]:
    """Say when the goal's objects go out of sight and come back; end when they are gone.

    Args:
        frames: Results of following, newest last.
        patience: Seconds of the camera's time that all objects must be out of sight.

    Yields:
        What has changed, in words.
    """
    hidden_since: float | None = None
    for frame in frames:
        now = frame.header.stamp.sec + frame.header.stamp.nanosec / 1e9
        if any(item.goal == GOAL for item in frame.objects):
            if hidden_since is not None:
                yield f"back after {now - hidden_since:.1f} s"
            hidden_since = None
        elif hidden_since is None:
            hidden_since = now
            yield "out of sight"
        elif now - hidden_since >= patience:
            yield f"gone for {now - hidden_since:.1f} s"
            return


def start(client: SegZeroClient, question: str, timeout: float) -> QueryHandle | None:
    """Ask; return None if nothing matches. Raises NoAnswer if the question fails."""
    query = client.ask(question, timeout=timeout, goal=GOAL)
    query.latest()  # from now on results are received, so that no frame is missed
    reply = query.wait(timeout)
    if reply.outcome is Outcome.NOTHING:
        return None
    if reply.outcome is not Outcome.ANSWERED:
        raise NoAnswer(f"{state_name(reply.segmentation)}: {reply.segmentation.error}")
    return query


def watch(client: SegZeroClient, arguments: argparse.Namespace) -> int:
    """Ask, then print every change; return the exit status."""
    query = start(client, arguments.question, arguments.timeout)
    if query is None:
        print("nothing matches", flush=True)
        return NOTHING
    print("in sight", flush=True)
    for change in changes(query.follow(arguments.timeout), arguments.patience):
        print(change, flush=True)
        if change.startswith("gone"):
            client.clear(goal=GOAL)
            return GONE
    raise NoAnswer("another question took the goal's place")


def main(argv: Sequence[str] = sys.argv) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", help="what to watch, such as 'the mug'")
    parser.add_argument("--patience", type=float, default=2.0, help="seconds until it is gone")
    parser.add_argument("--node", default="segzero", help="the perception node")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds without news")
    arguments = parser.parse_args(remove_ros_args(list(argv))[1:])
    rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)  # Python's own
    try:
        with SegZeroClient(perception=arguments.node) as client:
            return watch(client, arguments)
    except (NoAnswer, BadQuestion) as error:
        print(f"watch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
