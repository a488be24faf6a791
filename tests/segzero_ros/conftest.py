"""Real ROS, cut off from everybody else's: a domain of its own and this machine only."""

import os
from collections.abc import Iterator

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)  # Fast DDS takes its ports from it

import pytest
import rclpy


@pytest.fixture(scope="session", autouse=True)
def ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start rclpy in this process."""
    os.environ["ROS_LOG_DIR"] = str(tmp_path_factory.mktemp("ros_log"))
    rclpy.init()
    yield
    rclpy.shutdown()
