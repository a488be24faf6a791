"""Images for a query: late, missing, bad, big-endian, compressed."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from segzero_ros.images.conversions import to_rgb
from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import wait_until

pytestmark = pytest.mark.ros


def test_a_question_without_a_camera_names_the_topic(robot: Robot, namespace: str) -> None:
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert f"nothing publishes on {namespace}/image" in result.error


def test_a_question_to_a_silent_camera_says_so(robot: Robot, namespace: str) -> None:
    robot.operator.node.create_publisher(Image, "image", 1)
    wait_until(lambda: robot.node.count_publishers(f"{namespace}/image"), "the camera")
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert f"{namespace}/image has a publisher, but nothing arrives" in result.error


def test_a_question_waits_for_the_first_picture(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(first_frame_timeout=60.0)
    robot.operator.activate()
    robot.operator.ask("the red ball")
    image = picture(9)
    robot.see(image)
    assert robot.operator.result().header == image.header


def broken(encoding: str, step: int, height: int, size: int) -> Image:
    image = picture(50)
    image.encoding, image.step, image.height = encoding, step, height
    image.data = image.data[:size]
    return image


def with_nan() -> Image:
    image = picture(50, width=16)
    pixels = np.full((48, 16), np.nan, np.float32)
    image.encoding, image.step = "32FC1", 64
    image.data = image.data[:0]
    image.data.frombytes(pixels.tobytes())
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        pytest.param(broken("h265", 192, 48, 9216), "'h265' is not supported", id="encoding"),
        pytest.param(broken("rgb8", 100, 48, 9216), "step is 100 bytes", id="step"),
        pytest.param(broken("rgb8", 192, 0, 0), "empty", id="no rows"),
        pytest.param(broken("rgb8", 192, 48, 9000), "9000 bytes of data", id="cut off"),
        pytest.param(broken("rgb8", 192, 4, 768), "each side must be", id="tiny"),
        pytest.param(with_nan(), "NaN", id="NaN"),
    ],
)
def test_a_bad_picture_fails_and_the_node_goes_on(robot: Robot, image: Image, reason: str) -> None:
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert result.state == Segmentation.FAILED
    assert reason in result.error
    assert result.header == image.header
    robot.see(picture(51))
    assert robot.operator.answer("the red ball").state == Segmentation.ANSWERED


def test_a_big_endian_picture_is_answered(robot: Robot) -> None:
    image = picture(1, width=96)
    image.encoding, image.is_bigendian, image.step = "mono16", True, 288  # 96 bytes of padding
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert (result.state, result.mask.width) == (Segmentation.ANSWERED, 96)


def test_a_compressed_camera_is_answered(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(image_transport="compressed")
    robot.operator.activate()
    raw = picture(7)
    image = CompressedImage(header=raw.header, format="rgb8; jpeg compressed bgr8")
    image.data.frombytes(cv2.imencode(".jpg", to_rgb(raw))[1].tobytes())
    robot.see(image)
    result = robot.operator.answer("the red ball")
    assert (result.state, result.header) == (Segmentation.ANSWERED, raw.header)
