"""Parameters: declared with descriptors, checked with reasons."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero_ros import parameters
from segzero_ros.parameters import BadParameter, Parameters

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


def test_an_override_out_of_range_is_refused() -> None:
    node = rclpy.create_node(
        "overridden", parameter_overrides=[Parameter("first_frame_timeout", value=1e9)]
    )
    with pytest.raises(InvalidParameterValueException):
        parameters.declare(node, Parameters)
    node.destroy_node()


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
