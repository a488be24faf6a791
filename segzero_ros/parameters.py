"""The node's parameters: one frozen dataclass, its descriptors and its checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero.errors import SegZeroError


class BadParameter(SegZeroError):
    """A parameter has a value that the node can't use."""


def _declared(
    default: Any,
    description: str,
    *,
    span: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """Make a dataclass field that carries what its ParameterDescriptor says."""
    return field(
        default=default,
        metadata={
            "description": description,
            "span": span,
            "choices": choices,
            "read_only": read_only,
        },
    )


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the perception node; fixed from configure to cleanup."""

    profile: str = _declared(
        "demo",
        "Which models answer: the name of a profile (`segzero profiles` lists them) or the path "
        "of a profile's YAML file.",
    )
    device: str = _declared(
        "auto", "Where the models run: auto, cpu, cuda or cuda:N; auto takes a GPU where one is."
    )
    image_transport: str = _declared(
        "raw",
        "raw subscribes to sensor_msgs/Image on `image`; compressed to sensor_msgs/CompressedImage "
        "on `image`/compressed, as image_transport does.",
        choices=("raw", "compressed"),
    )
    first_frame_timeout: float = _declared(
        2.0,
        "Seconds that a question waits for the camera's first frame before it fails.",
        span=(0.0, 60.0),
    )
    autostart: bool = _declared(
        False,
        "Configure and activate without being asked; leave it false where a lifecycle manager "
        "does that.",
        read_only=True,
    )


def declare(node: Node) -> None:
    """Declare every parameter of `Parameters` on `node`, with its descriptor."""
    for item in fields(Parameters):
        about = item.metadata
        descriptor = ParameterDescriptor(
            description=about["description"],
            read_only=about["read_only"],
            additional_constraints=_constraints(about["choices"]),
        )
        if about["span"]:
            low, high = about["span"]
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        node.declare_parameter(item.name, item.default, descriptor)


def read(node: Node) -> Parameters:
    """Return the current values. Raises BadParameter for one that `refusal` refuses."""
    current = node.get_parameters([item.name for item in fields(Parameters)])
    reason = refusal(current, configured=False)
    if reason:
        raise BadParameter(reason)
    return Parameters(**{parameter.name: parameter.value for parameter in current})


def refusal(changes: Sequence[Parameter], *, configured: bool) -> str:
    """Say why `changes` can't be made, or return "" if they can.

    Types, ranges and read-only parameters are rclpy's own business. While the node is configured,
    its models stand for the parameters, so that a change would be a lie until the next configure.
    """
    known = {item.name: item.metadata for item in fields(Parameters)}
    for change in changes:
        about = known.get(change.name)
        if about is None:
            continue
        if configured:
            return f"{change.name} is fixed while the node is configured: clean it up first."
        if about["choices"] and change.value not in about["choices"]:
            return f"{change.name} must be {_constraints(about['choices'])}, not {change.value!r}."
        if isinstance(change.value, str) and not change.value.strip():
            return f"{change.name} must not be empty."
    return ""


def _constraints(choices: Sequence[str]) -> str:
    return f"one of {', '.join(choices)}" if choices else ""
