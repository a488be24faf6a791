"""Nodes whose callbacks run in one thread."""

import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Spinning:
    """Spins nodes until it is closed."""

    def __init__(self, *nodes: Node) -> None:
        self._executor = SingleThreadedExecutor()
        for node in nodes:
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
