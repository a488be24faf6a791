"""Depth joined to images by their stamps, and the objects of a real node placed in 3D."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from segzero_ros.depth.calibration import Uncalibrated, distortion
from segzero_ros.depth.cloud import DepthUnavailable
from segzero_ros.depth.depth_input import DEPTH_BUFFER_SIZE, DepthInput
from segzero_ros.depth.locator import depth_view
from segzero_ros.images.conversions import from_array
from segzero_ros.msg import Segmentation
from segzero_ros.results.messages import POINT
from tests.segzero_ros.depth_camera import HEIGHT, PINHOLE, WIDTH, DepthCamera, depth, stamp
from tests.segzero_ros.robot import Robot, picture
from tests.segzero_ros.waiting import DEADLINE, wait_until


@pytest.fixture
def received() -> DepthInput:
    """Calibrated, with images of the seconds 10.0, 10.1, … 10.9."""
    received = DepthInput()
    received.calibrate(PINHOLE)
    for tenth in range(10):
        received.put(depth(10 + tenth / 10))
    return received


@pytest.mark.parametrize(("wanted", "expected"), [(10.31, 10.3), (10.28, 10.3), (9.96, 10.0)])
def test_the_image_nearest_to_the_stamp_is_taken(
    received: DepthInput, wanted: float, expected: float
) -> None:
    image, info = received.nearest(stamp(wanted), 0.05)
    assert (image.header.stamp, info) == (stamp(expected), PINHOLE)


@pytest.mark.parametrize(("wanted", "how"), [(9.9, "0.100 s younger"), (11.0, "0.100 s older")])
def test_images_too_far_apart_are_not_joined(received: DepthInput, wanted: float, how: str) -> None:
    with pytest.raises(DepthUnavailable, match=f"{how}, depth_tolerance allows 0.05 s"):
        received.nearest(stamp(wanted), 0.05)


def test_it_says_what_never_came() -> None:
    received = DepthInput()
    with pytest.raises(DepthUnavailable, match="no depth image came yet: start the depth camera"):
        received.nearest(stamp(10), 0.05)
    received.put(depth(10))
    with pytest.raises(DepthUnavailable, match="no camera_info came yet: remap"):
        received.nearest(stamp(10), 0.05)


def test_depth_that_comes_a_little_later_is_waited_for(
    received: DepthInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segzero_ros.depth.depth_input.DEPTH_TIMEOUT", DEADLINE)
    threading.Timer(0.1, received.put, [depth(11.0)]).start()
    assert received.nearest(stamp(11.0), 0.05)[0].header.stamp == stamp(11.0)


def test_what_is_held_outlives_the_history_and_the_rest_is_bounded(received: DepthInput) -> None:
    received.pin(stamp(10.5))
    for second in range(11, 11 + DEPTH_BUFFER_SIZE):
        received.put(depth(second))
    assert received.nearest(stamp(10.5), 0.05)[0].header.stamp == stamp(10.5)
    with pytest.raises(DepthUnavailable, match=r"depth_tolerance"):
        received.nearest(stamp(10.2), 0.05)


def test_a_clock_that_starts_again_forgets_the_old_images(received: DepthInput) -> None:
    received.put(depth(1.0))
    assert received.nearest(stamp(1.0), 0.05)[0].header.stamp == stamp(1.0)
    with pytest.raises(DepthUnavailable):
        received.nearest(stamp(10.5), 0.05)


@pytest.mark.parametrize(
    ("encoding", "dtype", "unit"),
    [("32FC1", np.float32, 1.0), ("16UC1", np.uint16, 0.001), ("mono16", np.uint16, 0.001)],
)
def test_the_encodings_of_rep_118_are_read(encoding: str, dtype: type, unit: float) -> None:
    values: NDArray = np.arange(WIDTH * HEIGHT, dtype=dtype).reshape(HEIGHT, WIDTH)
    image = from_array(values, Header())
    image.encoding = encoding
    seen = depth_view(image, PINHOLE)
    np.testing.assert_array_equal(seen.depth, values)
    assert (seen.unit, seen.intrinsics.fx, seen.intrinsics.cx) == (unit, 60, 31.5)


@pytest.mark.parametrize(
    ("image", "info", "error", "reason"),
    [
        (picture(1), PINHOLE, DepthUnavailable, "'rgb8' are not supported: remap `depth`"),
        (depth(1), CameraInfo(), Uncalibrated, "no focal length"),
        (depth(1), CameraInfo(width=640, height=480, p=PINHOLE.p), Uncalibrated, "640×480 pixels"),
    ],
    ids=["colour", "uncalibrated", "another size"],
)
def test_what_can_not_be_used_says_what_to_do(
    image: Image, info: CameraInfo, error: type, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        depth_view(image, info)


@pytest.mark.parametrize("field", ["p", "k", "d"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_calibration_that_is_not_finite_is_refused(field: str, value: float) -> None:
    info = CameraInfo(width=WIDTH, height=HEIGHT, p=PINHOLE.p, d=[0.0] * 5)
    getattr(info, field)[2] = value
    with pytest.raises(Uncalibrated, match="NaN or infinity"):
        depth_view(depth(1), info)


def lens(model: str, *d: float) -> CameraInfo:
    return CameraInfo(
        width=640,
        height=480,
        distortion_model=model,
        d=d,
        k=[500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0],
    )


@pytest.mark.parametrize(
    ("info", "pixels"),
    [
        (lens("plumb_bob"), 0),
        (lens("plumb_bob", 0.0, 0.0, 0.0, 0.0, 0.0), 0),
        # At a corner r² = 0.6375, and the lens moves a point by k1·r² of its distance, 399 pixels.
        (lens("plumb_bob", 0.1, 0.0, 0.0, 0.0, 0.0), 0.1 * 0.6375 * 399.3),
        (lens("rational_polynomial", 0.1, *[0.0] * 7), 0.1 * 0.6375 * 399.3),
        (lens("equidistant", 0.0, 0.0, 0.0, 0.1), 60),
    ],
)
def test_the_distortion_is_measured_in_pixels(info: CameraInfo, pixels: float) -> None:
    assert distortion(info) == pytest.approx(pixels, rel=0.2)


def test_an_unknown_lens_counts_as_distorted() -> None:
    assert distortion(lens("mei", 0.1, 0.2, 0.3)) == np.inf


@pytest.mark.parametrize("sec", [0, -1])
def test_images_without_a_usable_stamp_say_so(received: DepthInput, sec: int) -> None:
    with pytest.raises(DepthUnavailable, match="stamp is zero" if sec == 0 else "younger"):
        received.nearest(Time(sec=sec), 0.05)


@pytest.fixture
def camera(make_robot: Callable[..., Robot]) -> tuple[Robot, DepthCamera]:
    robot = make_robot(use_depth=True)
    robot.operator.activate()
    return robot, DepthCamera(robot)


@pytest.mark.ros
def test_a_node_places_what_it_found_under_the_images_header(camera) -> None:
    _, depth_camera = camera
    result = depth_camera.answer(7, depth(7, metres=2.0))
    (found,) = result.objects
    assert (found.located, result.points_frame_id) == (True, "camera_optical_frame")
    v, u = np.nonzero(np.frombuffer(result.mask.data, np.uint8).reshape(HEIGHT, WIDTH))
    expected = [(u.mean() - 31.5) / 30, (v.mean() - 23.5) / 30, 2]
    centroid = [found.centroid.x, found.centroid.y, found.centroid.z]
    assert centroid == pytest.approx(expected, abs=1e-4)
    assert found.extent.x == pytest.approx(np.ptp(u) / 30, abs=1e-4)
    assert (found.extent.y, found.extent.z) == pytest.approx((np.ptp(v) / 30, 0), abs=1e-4)
    cloud = depth_camera.points.get(timeout=DEADLINE)
    assert cloud.header == result.header
    rows = np.frombuffer(cloud.data.tobytes(), POINT)
    assert (len(rows), set(rows["id"])) == (len(u), {found.id})


@pytest.mark.ros
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (depth(50), "depth_tolerance"),
        (depth(8, frame="other"), "depth is in the frame 'other'"),
        (picture(8), "'rgb8' are not supported"),
        (depth(8, metres=np.nan), ""),
    ],
    ids=["another time", "another frame", "colour", "no valid pixel"],
)
def test_depth_that_does_not_fit_costs_the_place_only_and_the_next_is_used(
    camera, bad: Image, reason: str
) -> None:
    robot, depth_camera = camera
    result = depth_camera.answer(8, bad)
    assert (result.state, result.objects[0].located) == (Segmentation.ANSWERED, False)

    def told() -> bool:
        status = robot.operator.diagnosis("depth")
        return status is not None and reason in status.message

    wait_until(told, "the reason in /diagnostics")
    assert depth_camera.answer(60, depth(60)).objects[0].located
    wait_until(lambda: robot.operator.status("depth").level == DiagnosticStatus.OK, "recovery")
