"""A real node's markers, poses, detections and tf: only what is installed and subscribed to."""

import importlib.util
import queue
from collections.abc import Callable
from typing import Any

import pytest
from geometry_msgs.msg import PoseStamped
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from segzero_ros.depth.transforms import TransformUnavailable
from segzero_ros.msg import Segmentation
from segzero_ros.perception_node import PerceptionNode
from segzero_ros.results import poses, standard_outputs
from tests.segzero_ros.depth_camera import DepthCamera, depth
from tests.segzero_ros.robot import Robot
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros
NOT_WITH_PIP = "is not here: it comes with an installed ROS 2, not with pip"


def outputs(robot: Robot, **types: type) -> dict[str, queue.Queue[Any]]:
    """Subscribe to topics of the node by their names."""
    received: dict[str, queue.Queue[Any]] = {}
    for name, kind in types.items():
        received[name] = queue.Queue()
        topic = robot.operator.listen(kind, f"segzero/{name}", received[name]).topic_name
        wait_until(lambda: robot.node.count_subscribers(topic), topic)  # noqa: B023
    return received


@pytest.fixture
def camera(make_robot: Callable[..., Robot]) -> tuple[Robot, DepthCamera]:
    robot = make_robot(use_depth=True)
    robot.operator.activate()
    return robot, DepthCamera(robot)


def test_an_answer_comes_as_markers_and_as_a_pose(camera) -> None:
    robot, depth_camera = camera
    received = outputs(robot, markers=MarkerArray, pose=PoseStamped)
    result = depth_camera.answer(7, depth(7, metres=2.0))
    markers = received["markers"].get(timeout=DEADLINE).markers
    assert [marker.ns for marker in markers] == ["", "boxes", "labels", "outlines"]
    assert {marker.id for marker in markers[1:]} == {result.objects[0].track_id}
    pose = received["pose"].get(timeout=DEADLINE)
    assert pose.header == markers[1].header == result.header
    assert pose.pose == markers[1].pose
    assert pose.pose.position.z == pytest.approx(2, abs=1e-4)


def test_markers_go_when_nothing_is_followed_any_more(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(use_depth=True, follow=True)
    robot.operator.activate()
    received = outputs(robot, markers=MarkerArray)["markers"]
    DepthCamera(robot).answer(7, depth(7))
    assert len(received.get(timeout=DEADLINE).markers) > 1
    wait_until(lambda: robot.node._processor._follower.active, "following")
    robot.operator.call(Trigger, "clear", Trigger.Request())
    (last,) = received.get(timeout=DEADLINE).markers
    assert last.action == Marker.DELETEALL


def test_markers_go_when_an_answer_has_no_depth(camera) -> None:
    robot, depth_camera = camera
    received = outputs(robot, markers=MarkerArray)["markers"]
    depth_camera.answer(7, depth(7))
    assert len(received.get(timeout=DEADLINE).markers) > 1
    assert not depth_camera.answer(8, depth(50)).objects[0].located
    (last,) = received.get(timeout=DEADLINE).markers
    assert last.action == Marker.DELETEALL


def test_nothing_is_computed_while_nobody_subscribes(camera, monkeypatch) -> None:
    computed: list[Segmentation] = []
    monkeypatch.setattr(poses, "object_boxes", lambda result, located: computed.append(result))
    _, depth_camera = camera
    assert depth_camera.answer(7, depth(7)).objects[0].located
    assert not computed


def test_an_answer_comes_as_detections(camera) -> None:
    pytest.importorskip("vision_msgs", reason=f"vision_msgs {NOT_WITH_PIP}")
    from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo

    robot, depth_camera = camera
    received = outputs(
        robot, detections=Detection2DArray, detections_3d=Detection3DArray, label_info=LabelInfo
    )
    result = depth_camera.answer(7, depth(7))
    (found,) = result.objects
    (flat,) = received["detections"].get(timeout=DEADLINE).detections
    (placed,) = received["detections_3d"].get(timeout=DEADLINE).detections
    (label,) = received["label_info"].get(timeout=DEADLINE).class_map
    assert flat.header == placed.header == result.header
    assert flat.id == placed.id == str(found.track_id)
    assert flat.results[0].hypothesis.class_id == "the red ball"
    assert (label.class_id, label.class_name) == (found.id, "the red ball")
    assert placed.bbox.size == found.extent


def test_a_goals_frame_is_in_tf(make_robot: Callable[..., Robot], namespace: str) -> None:
    pytest.importorskip("tf2_msgs", reason=f"tf2_msgs {NOT_WITH_PIP}")
    from tf2_msgs.msg import TFMessage

    robot = make_robot(use_depth=True, publish_tf=True)
    robot.operator.activate()
    received: queue.Queue[TFMessage] = queue.Queue()
    subscription = robot.operator.listen(TFMessage, "/tf", received, 100)
    wait_until(subscription.get_publisher_count, "/tf")
    result = DepthCamera(robot).answer(7, depth(7, metres=2.0))
    (frame,) = received.get(timeout=DEADLINE).transforms
    assert frame.header == result.header
    assert frame.child_frame_id == f"{namespace}/segzero".lstrip("/")
    assert frame.transform.translation.z == pytest.approx(2, abs=1e-4)


def test_a_topic_whose_package_is_missing_is_not_there(namespace: str, monkeypatch) -> None:
    monkeypatch.setattr(standard_outputs, "_installed", lambda package: False)
    node = PerceptionNode(namespace=namespace)
    topics = dict(node.get_publisher_names_and_types_by_node("segzero", namespace))
    node.destroy_node()
    assert f"{namespace}/segzero/pose" in topics
    for name in ("markers", "detections", "detections_3d", "label_info"):
        assert f"{namespace}/segzero/{name}" not in topics


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is here")
def test_tf_without_its_messages_is_refused_with_the_remedy(namespace: str) -> None:
    from rclpy.parameter import Parameter

    with pytest.raises(TransformUnavailable, match="sudo apt install"):
        PerceptionNode(
            namespace=namespace, parameter_overrides=[Parameter("publish_tf", value=True)]
        )
