"""Ending on ctrl-C and SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
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


def ignore_signals() -> None:
    """Ignore ctrl-C and SIGTERM from now on: the process ends already."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
