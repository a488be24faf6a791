"""Parameters: declared with descriptors, checked with reasons."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero_ros import parameters
from segzero_ros.parameters import BadParameter
from segzero_ros.perception_parameters import Parameters

CONFIGURATION = Path(__file__).parents[2] / "config" / "segzero.yaml"


@pytest.fixture
def node() -> Iterator[Node]:
    node = rclpy.create_node("parameters")
    parameters.declare(node, Parameters)
    yield node
    node.destroy_node()


def test_defaults_are_read_back(node: Node) -> None:
    assert parameters.read(node, Parameters) == Parameters()


def test_values_are_read_back(node: Node) -> None:
    node.set_parameters(
        [Parameter("profile", value="seg-zero-7b"), Parameter("first_frame_timeout", value=5.0)]
    )
    assert parameters.read(node, Parameters) == Parameters(
        profile="seg-zero-7b", first_frame_timeout=5.0
    )


@pytest.mark.parametrize("name", [item.name for item in fields(Parameters)])
def test_every_parameter_says_what_it_is_for(node: Node, name: str) -> None:
    assert node.describe_parameter(name).description.endswith(".")


def test_choices_and_ranges_are_described(node: Node) -> None:
    assert "compressed" in node.describe_parameter("image_transport").additional_constraints
    (span,) = node.describe_parameter("first_frame_timeout").floating_point_range
    assert (span.from_value, span.to_value) == (0.0, 60.0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("first_frame_timeout", -1.0, "range"),
        ("first_frame_timeout", 61.0, "range"),
        ("profile", 7, "type"),
        ("autostart", True, "read-only"),
    ],
)
def test_rclpy_refuses_what_the_descriptors_forbid(
    node: Node, name: str, value: object, reason: str
) -> None:
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason


@pytest.fixture
def declare_overridden() -> Iterator[Callable[[str, object], Node]]:
    """Declare the parameters of a node that was started with a value for one of them."""
    nodes = []

    def declare(name: str, value: object) -> Node:
        override = Parameter(name, value=value)
        nodes.append(rclpy.create_node("overridden", parameter_overrides=[override]))
        parameters.declare(nodes[-1], Parameters)
        return nodes[-1]

    yield declare
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("proflie", "demo", "no parameter proflie: did you mean profile?"),
        ("reask-period", 1.0, "did you mean reask_period?"),
        ("zzz", 1, "no parameter zzz: there are profile, device, "),
        ("history", "many", "history must be a whole number, not 'many'"),
        ("history", 5.5, "history must be a whole number, not 5.5"),
        ("profile", 3, "profile must be text, not 3"),
        ("follow", "true", "follow must be true or false, not 'true'"),
        ("follow", 1, "follow must be true or false, not 1"),
        ("reask_period", True, "reask_period must be a number, not True"),
        ("reask_period", "10", "reask_period must be a number, not '10'"),
        ("first_frame_timeout", 1e9, "first_frame_timeout must be from 0 to 60"),
        ("history", 1, "history must be from 2 to 1000"),
        ("reask", "sometimes", "reask must be one of never"),
        ("device", " ", "device must not be empty"),
    ],
)
def test_a_node_does_not_start_with_what_it_can_not_use(
    declare_overridden: Callable[[str, object], Node], name: str, value: object, reason: str
) -> None:
    with pytest.raises(BadParameter, match=re.escape(reason)):
        declare_overridden(name, value)


@pytest.mark.parametrize("name", ["reask_period", "camera_timeout", "depth_tolerance"])
def test_a_whole_number_is_taken_for_a_number(
    declare_overridden: Callable[[str, object], Node], name: str
) -> None:
    node = declare_overridden(name, 10)
    assert node.get_parameter(name).value == 10.0
    (result,) = node.set_parameters([Parameter(name, value=7)])
    assert result.successful
    assert getattr(parameters.read(node, Parameters), name) == 7.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("use_sim_time", False), ("qos_overrides./image.subscription.depth", 1)],
)
def test_parameters_of_ros_itself_are_let_through_at_the_start(
    declare_overridden: Callable[[str, object], Node], name: str, value: object
) -> None:
    declare_overridden(name, value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("image_transport", "theora", "one of raw, compressed, not 'theora'"),
        ("profile", "  ", "profile must not be empty"),
        ("device", "", "device must not be empty"),
    ],
)
def test_bad_values_are_refused_with_the_reason(
    node: Node, name: str, value: str, reason: str
) -> None:
    change = Parameter(name, value=value)
    assert reason in parameters.rejection_reason([change], Parameters)
    node.set_parameters([change])
    with pytest.raises(BadParameter, match=reason):
        parameters.read(node, Parameters)


def test_parameters_of_others_are_let_through() -> None:
    assert parameters.rejection_reason([Parameter("use_sim_time", value=True)], Parameters) == ""


def test_the_configuration_file_holds_the_defaults() -> None:
    (section,) = yaml.safe_load(CONFIGURATION.read_text()).values()
    defaults = asdict(Parameters())
    del defaults["autostart"]  # the launch argument's business
    assert section["ros__parameters"] == defaults
