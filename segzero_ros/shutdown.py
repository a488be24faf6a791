"""Ending on ctrl-C and SIGTERM, whenever they come."""

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException


@contextmanager
def until_shutdown() -> Iterator[None]:
    """Spin inside; a signal ends the block without an error."""
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # The signal shuts the context down at any moment, also between an executor's look at it
        # and its use; what rclpy raises then depends on where it was.
        if rclpy.ok():
            raise
