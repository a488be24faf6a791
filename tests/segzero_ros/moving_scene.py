"""Steps that the tests of following share: ask, show a frame, look what came of it."""

from collections.abc import Callable

from sensor_msgs.msg import Image

from segzero_ros.msg import Segmentation
from tests.segzero_ros.models import Models
from tests.segzero_ros.robot import Robot, picture

FOLLOWED = (Segmentation.TRACKED, Segmentation.LOST)
MakeFollower = Callable[..., tuple[Robot, Models]]


def followed_on(robot: Robot, image: Image) -> Segmentation:
    """Show `image`, and return the result for it."""
    robot.see(image)
    while (result := robot.operator.result()).header != image.header:
        pass
    return result


def start(robot: Robot, second: int = 1, **size: int) -> Segmentation:
    """Ask about picture `second`; return the answer."""
    robot.see(picture(second, **size))
    robot.operator.ask("the red ball")
    while (answer := robot.operator.result()).state in FOLLOWED:
        pass
    assert answer.state == Segmentation.ANSWERED
    return answer


def assert_nothing_is_followed(robot: Robot) -> None:
    """Show some frames; the next result is the answer to the next question."""
    for second in range(90, 95):
        robot.see(picture(second))
    assert robot.operator.answer("the blue ball").state == Segmentation.ANSWERED


def told(robot: Robot, key: str) -> int:
    """A count of /diagnostics."""
    status = robot.operator.diagnosis("following")
    return int(next(v.value for v in status.values if v.key == key)) if status else 0
