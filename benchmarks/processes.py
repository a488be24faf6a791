"""ROS 2 in the processes of a benchmark: apart from other robots, and sure to end."""

import os
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

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
