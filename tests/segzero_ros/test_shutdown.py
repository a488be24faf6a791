import subprocess
import sys

import pytest

# In a process of its own: the context can be shut down only once.
PROGRAM = """
import rclpy
from segzero_ros.shutdown import until_shutdown

rclpy.init()
node = rclpy.create_node("node")
with until_shutdown():
    {act}
print("ended")
"""


def run(act: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(act=act)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize(
    "act",
    [
        "raise KeyboardInterrupt",
        "rclpy.shutdown(); rclpy.spin(node)",
        # What an executor meets if the signal comes after it has looked at the context.
        "rclpy.shutdown(); node.create_subscription(rclpy.parameter.ParameterValue, 'a', print, 1)",
    ],
)
def test_a_shutdown_ends_without_an_error(act: str) -> None:
    done = run(act)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_another_error_is_not_hidden() -> None:
    done = run("raise ValueError('a mistake')")
    assert done.returncode == 1
    assert "a mistake" in done.stderr
