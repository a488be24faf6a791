"""Parameters as frozen dataclasses: declared with descriptors, checked with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero.errors import SegZeroError

Values = TypeVar("Values")


CONFIGURED = "the models are loaded: clean the node up before you change"
ACTIVE = "the node is active: deactivate it before you change"
"""Why a value can't change now."""


class BadParameter(SegZeroError):
    """A parameter has a value that the node can't use."""


def parameter(
    default: Any,
    description: str,
    *,
    span: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
    fixed: str = "",
    may_be_empty: bool = False,
) -> Any:
    """Make a dataclass field that carries what its ParameterDescriptor says.

    span: lowest and highest number. choices: the texts that are allowed.
    fixed: CONFIGURED or ACTIVE, in which the value can't change.
    """
    metadata = {
        "description": description,
        "span": span,
        "choices": choices,
        "read_only": read_only,
        "fixed": fixed,
        "may_be_empty": may_be_empty,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the perception node; those without `fixed` may change at any time."""

    profile: str = parameter(
        "demo",
        "Which models answer: the name of a profile (`segzero profiles` lists them) or the path "
        "of a profile's YAML file.",
        fixed=CONFIGURED,
    )
    device: str = parameter(
        "auto",
        "Where the models run: auto, cpu, cuda or cuda:N; auto takes a GPU where one is.",
        fixed=CONFIGURED,
    )
    image_transport: str = parameter(
        "raw",
        "raw subscribes to sensor_msgs/Image on `image`; compressed to sensor_msgs/CompressedImage "
        "on `image`/compressed, as image_transport does.",
        choices=("raw", "compressed"),
        fixed=ACTIVE,
    )
    first_frame_timeout: float = parameter(
        2.0,
        "Seconds that a question waits for the camera's first frame before it fails.",
        span=(0.0, 60.0),
    )
    camera_timeout: float = parameter(
        2.0,
        "Seconds without a frame after which the camera counts as silent.",
        span=(0.1, 3600.0),
    )
    follow: bool = parameter(True, "Follow the objects of an answer through the frames after it.")
    reask: str = parameter(
        "never",
        "When to ask a followed question again by itself: never, on_lost (an object wasn't seen "
        "for a second) or every (each reask_period).",
        choices=("never", "on_lost", "every"),
    )
    reask_period: float = parameter(
        10.0,
        "Seconds from one time that a question is asked again to the next, at least.",
        span=(0.1, 86400.0),
    )
    history: int = parameter(
        64,
        "Frames kept at most while a question is answered; when full, every second one goes.",
        span=(2, 1000),
    )
    catch_up: int = parameter(
        8,
        "Frames at most, evenly spread over the history, through which objects are followed from "
        "the answered frame to the present; none of them is published.",
        span=(0, 1000),
    )
    use_depth: bool = parameter(
        False,
        "Subscribe to `depth` (registered with the image) and `camera_info`, and place the objects "
        "in 3D.",
        fixed=ACTIVE,
    )
    depth_tolerance: float = parameter(
        0.05,
        "Seconds at most between the stamps of an image and of the depth image used with it.",
        span=(0.0, 10.0),
    )
    target_frame: str = parameter(
        "",
        "The tf frame of points, centroids and extents; empty leaves them in the camera's.",
        may_be_empty=True,
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
    reason = rejection_reason(current, kind)
    if reason:
        raise BadParameter(reason)
    return kind(**{item.name: item.value for item in current})


def rejection_reason(
    changes: Sequence[Parameter], kind: type, *, configured: bool = False, active: bool = False
) -> str:
    """Say why `changes` can't be made in this state of the node, or return "" if they can.

    Types, ranges and read-only parameters are rclpy's own business.
    """
    fixing = [reason for reason, now in ((CONFIGURED, configured), (ACTIVE, active)) if now]
    known = {item.name: item.metadata for item in fields(kind)}
    for change in changes:
        about = known.get(change.name)
        if about is None:
            continue
        if about["choices"] and change.value not in about["choices"]:
            return f"{change.name} must be {_one_of(about['choices'])}, not {change.value!r}"
        empty = isinstance(change.value, str) and not change.value.strip()
        if empty and not about["may_be_empty"]:
            return f"{change.name} must not be empty"
        if about["fixed"] in fixing:
            return f"{about['fixed']} {change.name}"
    return ""


def _one_of(choices: Sequence[str]) -> str:
    return f"one of {', '.join(choices)}" if choices else ""
