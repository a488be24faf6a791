"""Parameters as frozen dataclasses: declared with descriptors, checked with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero.errors import SegZeroError

Values = TypeVar("Values")


class BadParameter(SegZeroError):
    """A parameter has a value that the node can't use."""


def parameter(
    default: Any,
    description: str,
    *,
    span: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """Make a dataclass field that carries what its ParameterDescriptor says.

    span: lowest and highest number. choices: the texts that are allowed.
    """
    metadata = {
        "description": description,
        "span": span,
        "choices": choices,
        "read_only": read_only,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the perception node; fixed from configure to cleanup."""

    profile: str = parameter(
        "demo",
        "Which models answer: the name of a profile (`segzero profiles` lists them) or the path "
        "of a profile's YAML file.",
    )
    device: str = parameter(
        "auto", "Where the models run: auto, cpu, cuda or cuda:N; auto takes a GPU where one is."
    )
    image_transport: str = parameter(
        "raw",
        "raw subscribes to sensor_msgs/Image on `image`; compressed to sensor_msgs/CompressedImage "
        "on `image`/compressed, as image_transport does.",
        choices=("raw", "compressed"),
    )
    first_frame_timeout: float = parameter(
        2.0,
        "Seconds that a question waits for the camera's first frame before it fails.",
        span=(0.0, 60.0),
    )
    autostart: bool = parameter(
        False,
        "Configure and activate without being asked; leave it false where a lifecycle manager "
        "does that.",
        read_only=True,
    )


def declare(node: Node, kind: type) -> None:
    """Declare every field of the dataclass `kind` on `node`, with its descriptor."""
    for item in fields(kind):
        about = item.metadata
        descriptor = ParameterDescriptor(
            description=about["description"],
            read_only=about["read_only"],
            additional_constraints=_one_of(about["choices"]),
        )
        if about["span"]:
            low, high = about["span"]
            if isinstance(item.default, int):
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=low, to_value=high)
                ]
        node.declare_parameter(item.name, item.default, descriptor)


def read(node: Node, kind: type[Values]) -> Values:
    """Return the current values. Raises BadParameter for one that `refusal` refuses."""
    current = node.get_parameters([item.name for item in fields(kind)])  # type: ignore[arg-type]
    reason = refusal(current, kind)
    if reason:
        raise BadParameter(reason)
    return kind(**{item.name: item.value for item in current})


def refusal(changes: Sequence[Parameter], kind: type) -> str:
    """Say why `changes` can't be made, or return "" if they can.

    Types, ranges and read-only parameters are rclpy's own business.
    """
    known = {item.name: item.metadata for item in fields(kind)}
    for change in changes:
        about = known.get(change.name)
        if about is None:
            continue
        if about["choices"] and change.value not in about["choices"]:
            return f"{change.name} must be {_one_of(about['choices'])}, not {change.value!r}"
        if isinstance(change.value, str) and not change.value.strip():
            return f"{change.name} must not be empty"
    return ""


def _one_of(choices: Sequence[str]) -> str:
    return f"one of {', '.join(choices)}" if choices else ""
