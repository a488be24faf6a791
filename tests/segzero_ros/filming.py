"""A camera that films all the time."""

import contextlib
import threading
from collections.abc import Iterator
from itertools import count

from tests.segzero_ros.robot import Robot, picture


@contextlib.contextmanager
def filming(robot: Robot, first: int = 5) -> Iterator[None]:
    """Show pictures with rising stamps all the time."""
    stop = threading.Event()

    def film() -> None:
        for second in count(first):
            robot.operator.show(picture(second))
            if stop.wait(0.03):
                return

    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
