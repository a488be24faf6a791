"""Ending on ctrl-C and SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException


@contextmanager
def until_shutdown() -> Iterator[None]:
    """Run the block until it ends or a signal shuts ROS down, which is not an error.

    Yields:
        Nothing; the block spins an executor.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # The signal may shut the context down between an executor's check and its use. What
        # rclpy raises then depends on where it was.
        if rclpy.ok():
            raise


@contextmanager
def ignoring_shutdown(context: Context) -> Iterator[None]:
    """Run the block, and ignore its errors if ROS was shut down meanwhile.

    Args:
        context: Of the node that the block uses.

    Yields:
        Nothing.
    """
    try:
        yield
    except Exception:
        if context.ok():
            raise


def ignore_signals() -> None:
    """Ignore ctrl-C and SIGTERM from now on: the process ends already."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
