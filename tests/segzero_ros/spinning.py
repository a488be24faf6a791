"""A node whose callbacks run in a thread."""

import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Spinning:
    """Spins a node until it is closed."""

    def __init__(self, node: Node) -> None:
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
