"""The RViz configuration and the Foxglove layout show topics that exist."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.segzero_ros.robot import Robot

ROOT = Path(__file__).parents[2]
RVIZ = yaml.safe_load((ROOT / "config" / "segzero.rviz").read_text())
FOXGLOVE = json.loads((ROOT / "config" / "foxglove-layout.json").read_text())


def panels(layout: dict | str) -> list[str]:
    """The panels of a Foxglove layout, which is a tree of splits."""
    if isinstance(layout, str):
        return [layout]
    return panels(layout["first"]) + panels(layout["second"])


def rviz_topics() -> set[str]:
    displays = RVIZ["Visualization Manager"]["Displays"]
    return {display["Topic"]["Value"] for display in displays if "Topic" in display}


def foxglove_topics() -> set[str]:
    names = re.findall(r'"(/[a-z_/]+)', json.dumps(FOXGLOVE))
    return set(names)


def test_every_panel_is_on_the_screen_once() -> None:
    assert sorted(panels(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])


def test_the_question_that_the_panel_asks_is_a_message() -> None:
    ask = FOXGLOVE["configById"]["Publish!ask"]
    assert ask["datatype"] == "std_msgs/msg/String"
    assert json.loads(ask["value"]).keys() == {"data"}


@pytest.mark.ros
@pytest.mark.parametrize("shown", [rviz_topics(), foxglove_topics()], ids=["rviz", "foxglove"])
def test_what_is_shown_exists(
    make_robot: Callable[..., Robot], namespace: str, shown: set[str]
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
    names = {name.removeprefix(namespace) for name, _ in found}
    launch = (ROOT / "launch" / "perception.launch.py").read_text()
    names |= set(re.findall(r'default_value="(/camera/[^"]+)"', launch))
    assert shown
    assert shown <= names
