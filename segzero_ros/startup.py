"""The start of a node's process: what can't work ends it with one line and exit status 2."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import rclpy
from rclpy.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    ParameterException,
)

from segzero.errors import SegZeroError

CONFIGURATION_ERROR = 2
"""Exit status; the launch files don't start such a node again."""


@contextmanager
def refuse_bad_configuration() -> Iterator[None]:
    """Start a node inside; its settings' errors end the process.

    Yields:
        Nothing; the block initialises ROS and makes the node.

    Raises:
        SystemExit: A parameter or argument can't be used; one line on stderr says which.
    """
    try:
        yield
    except (
        SegZeroError,
        ParameterException,
        InvalidNamespaceException,
        InvalidNodeNameException,
    ) as error:
        stop_with(str(error))


def init_ros(args: list[str] | None = None) -> None:
    """Initialise rclpy; logs go to a temporary folder if their own can't be written.

    From now on ctrl-C and SIGTERM interrupt Python, whatever it does, and shut ROS down.

    Args:
        args: ROS arguments; None takes those of the process.

    Raises:
        SystemExit: An argument or a file that it names can't be read.
    """
    for option, value in pairwise(sys.argv if args is None else args):
        if option == "--params-file" and not Path(value).is_file():
            stop_with(f"the params_file {value} doesn't exist: correct its path")
    _find_log_folder()
    for number in (signal.SIGINT, signal.SIGTERM):  # rclpy's own handlers call these
        signal.signal(number, signal.default_int_handler)
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # rclpy has no better class for it
        reason = str(error).partition(", at /")[0].removeprefix("failed to initialize rcl: ")
        stop_with(f"the ROS arguments can't be used: {reason}")


def stop_with(reason: str) -> None:
    """End the process because of its configuration.

    Args:
        reason: One line for the user.

    Raises:
        SystemExit: Always.
    """
    print(f"segzero: {' '.join(reason.split())}", file=sys.stderr, flush=True)
    raise SystemExit(CONFIGURATION_ERROR)


def _find_log_folder() -> None:
    """Let ROS log to a temporary folder where it could not make its own, which it would die of."""
    home = os.environ.get("ROS_HOME") or "~/.ros"
    folder = Path(os.environ.get("ROS_LOG_DIR") or f"{home}/log").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        other = tempfile.mkdtemp(prefix="ros_log_")
        os.environ["ROS_LOG_DIR"] = other
        print(
            f"segzero: can't write ROS logs to {folder} ({error.strerror}), they go to {other}: "
            "set ROS_LOG_DIR to a folder of yours",
            file=sys.stderr,
        )
