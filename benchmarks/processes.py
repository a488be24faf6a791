"""ROS 2 in the processes of a benchmark: apart from other robots, and sure to end."""

import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import records


def keep_apart() -> None:
    """Talk on this machine alone, in a domain of one's own, with the project's DDS profile."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(records.ROOT / "config" / "fastdds.xml")


def end_all(processes: Sequence[BaseProcess]) -> None:
    """Wait for processes that have nothing more to do."""
    for process in processes:
        process.join(timeout=10)
        process.kill()  # Fast DDS now and then doesn't get out of its own shutdown


def wait_until(node: Any, condition: Callable[[], object], what: str, timeout: float) -> None:
    """Spin a node until the condition holds.

    Raises:
        TimeoutError: It doesn't within so many seconds.
    """
    import rclpy

    end = time.monotonic() + timeout
    while not condition():
        rclpy.spin_once(node, timeout_sec=0.01)
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}")


def run_perception_node(
    load: Callable[[str, str], Any], end: Event, report: Callable[[Any], None] = lambda _: None
) -> None:
    """Run the perception node in this process until the end, then report about it and close it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from segzero_ros.perception_node import PerceptionNode

    rclpy.init()
    node = PerceptionNode(load=load)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.start()
    while not end.is_set():
        executor.spin_once(timeout_sec=0.5)
    report(node)
    executor.shutdown()
    node.close()
    node.destroy_node()
    rclpy.shutdown()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / float(os.sysconf("SC_CLK_TCK"))
