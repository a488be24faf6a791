"""The RViz configuration and the Foxglove layout show topics that exist."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from segzero_ros.msg import Segmentation
from tests.segzero_ros.robot import Robot

ROOT = Path(__file__).parents[2]
RVIZ = yaml.safe_load((ROOT / "config" / "segzero.rviz").read_text())
FOXGLOVE = json.loads((ROOT / "config" / "foxglove-layout.json").read_text())


def panels(layout: dict | str) -> list[str]:
    """The panels of a Foxglove layout, which is a tree of splits."""
    if isinstance(layout, str):
        return [layout]
    return panels(layout["first"]) + panels(layout["second"])


IMAGE, POINTS = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2"
MARKERS = "visualization_msgs/msg/MarkerArray"
CAMERA = {"/camera/image_raw": IMAGE, "/camera/camera_info": "sensor_msgs/msg/CameraInfo"}
"""What a driver publishes where the launch file looks for it."""


def rviz_shows() -> dict[str, str]:
    """Types by topic, as RViz's displays take them."""
    displays = [d for d in RVIZ["Visualization Manager"]["Displays"] if "Topic" in d]
    types = {"Image": IMAGE, "PointCloud2": POINTS, "MarkerArray": MARKERS}
    return {d["Topic"]["Value"]: types[d["Class"].rpartition("/")[2]] for d in displays}


def foxglove_shows() -> dict[str, str]:
    """Types by topic or service, as Foxglove's panels take them; raw messages may be any."""
    shown = {}
    for panel, settings in FOXGLOVE["configById"].items():
        match panel.partition("!")[0]:
            case "Image":
                mode = settings["imageMode"]
                shown[mode["imageTopic"]] = IMAGE
                if "calibrationTopic" in mode:
                    shown[mode["calibrationTopic"]] = CAMERA["/camera/camera_info"]
            case "3D":
                for topic, look in settings["topics"].items():
                    shown[topic] = POINTS if "pointSize" in look else MARKERS
            case "DiagnosticSummary":
                shown[settings["topicToRender"]] = "diagnostic_msgs/msg/DiagnosticArray"
            case "Publish":
                shown[settings["topicName"]] = settings["datatype"]
            case "CallService":
                shown[settings["serviceName"]] = "std_srvs/srv/Trigger"
            case "RawMessages":
                shown[settings["topicPath"].partition(".")[0]] = ""
    return shown


def test_every_panel_is_on_the_screen_once() -> None:
    assert sorted(panels(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])


def test_the_question_that_the_panel_asks_is_a_message() -> None:
    ask = FOXGLOVE["configById"]["Publish!ask"]
    assert ask["datatype"] == "std_msgs/msg/String"
    assert json.loads(ask["value"]).keys() == {"data"}


def test_no_topic_is_left_unchecked() -> None:
    names = set(re.findall(r'"(/[a-z_/]+)', json.dumps(FOXGLOVE)))
    assert names == foxglove_shows().keys()


def test_the_field_that_is_shown_raw_exists() -> None:
    _, _, field = FOXGLOVE["configById"]["RawMessages!result"]["topicPath"].partition(".")
    assert field in Segmentation.get_fields_and_field_types()


def test_the_camera_is_where_the_launch_file_looks_for_it() -> None:
    launch = (ROOT / "launch" / "perception.launch.py").read_text()
    assert CAMERA.keys() <= set(re.findall(r'default_value="(/camera/[^"]+)"', launch))


@pytest.mark.ros
@pytest.mark.parametrize("shown", [rviz_shows(), foxglove_shows()], ids=["rviz", "foxglove"])
def test_what_is_shown_exists_and_has_the_type(
    make_robot: Callable[..., Robot], namespace: str, shown: dict[str, str]
) -> None:
    robot = make_robot(use_depth=True)
    robot.operator.activate()
    node = robot.node
    own = (node.get_name(), node.get_namespace())
    found = [
        *node.get_publisher_names_and_types_by_node(*own),
        *node.get_subscriber_names_and_types_by_node(*own),
        *node.get_service_names_and_types_by_node(*own),
    ]
    types = {name.removeprefix(namespace): kinds for name, kinds in found}
    types |= {name: [kind] for name, kind in CAMERA.items()}
    assert shown
    assert shown.keys() <= types.keys()
    for name, kind in shown.items():
        assert not kind or types[name] == [kind], name
