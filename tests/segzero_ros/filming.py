"""A camera that films all the time."""

import contextlib
import threading
from collections.abc import Iterator
from itertools import count

from tests.segzero_ros.operator_client import Operator
from tests.segzero_ros.robot import picture


@contextlib.contextmanager
def filming(operator: Operator, width: int = 64, height: int = 48) -> Iterator[None]:
    """Show pictures with rising stamps all the time; an error while filming is raised here."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def film() -> None:
        try:
            for second in count(5):
                operator.show(picture(second, width, height))
                if stop.wait(0.03):
                    return
        except BaseException as error:  # a thread's own errors end nothing
            errors.append(error)

    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if errors:
            raise errors[0]
