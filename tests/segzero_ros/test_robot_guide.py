"""docs/robot.md names every parameter and every topic as they are."""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path

import pytest

from segzero_ros.parameters import Fixed
from segzero_ros.perception_parameters import Parameters
from tests.segzero_ros.robot import Robot

GUIDE = (Path(__file__).parents[2] / "docs" / "robot.md").read_text()
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in GUIDE.splitlines()
    if line.startswith("| `")
]


def default(item: Field) -> str:
    if isinstance(item.default, bool):
        return str(item.default).lower()
    return str(item.default) or "empty"


def changes(item: Field) -> str:
    if item.metadata["read_only"]:
        return "at start only"
    fixed = {Fixed.CONFIGURED: "after cleanup", Fixed.ACTIVE: "while not active"}
    return fixed.get(item.metadata["fixed"], "any time")


def test_every_parameter_stands_in_the_table_with_its_default() -> None:
    table = [(row[0], row[1], row[3]) for row in ROWS if len(row) == 4]
    assert table == [(item.name, default(item), changes(item)) for item in fields(Parameters)]


def installed(package: str) -> bool:
    """Whether the node has the topics with this package's messages."""
    return importlib.util.find_spec(package) is not None


@pytest.mark.ros
def test_every_topic_service_and_action_stands_in_the_table(
    make_robot: Callable[..., Robot], namespace: str
) -> None:
    robot = make_robot(use_depth=True, publish_tf=installed("tf2_msgs"))
    robot.operator.activate()
    node = robot.node
    own = (node.get_name(), node.get_namespace())
    interfaces = {
        ("in", name, kinds[0]) for name, kinds in node.get_subscriber_names_and_types_by_node(*own)
    }
    interfaces |= {
        ("out", name, kinds[0]) for name, kinds in node.get_publisher_names_and_types_by_node(*own)
    }
    interfaces |= {
        ("service", name, kinds[0])
        for name, kinds in node.get_service_names_and_types_by_node(*own)
        if not re.search(r"_action/|parameter|type_description|state|transition", name)
    }
    node_name = node.get_fully_qualified_name()
    found = {
        (way, name.replace(node_name, "~").removeprefix(f"{namespace}/"), kind.replace("/msg", ""))
        for way, name, kind in interfaces
        if not re.search(r"_action/|/parameter_events|/rosout|/transition_event", name)
    }
    table = set()
    for row in ROWS:
        name, _, way = row[0].partition("` ")
        package = row[1].partition("/")[0]
        if len(row) == 3 and way in ("in", "out", "service") and installed(package):
            table.add((way, name, row[1].replace("/srv", "")))
    assert table == {(way, name, kind.replace("/srv", "")) for way, name, kind in found}
