"""Parameters as frozen dataclasses: declared with descriptors, checked with reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any, Literal, TypeVar, get_args

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero.errors import SegZeroError
from segzero_ros.qos import OVERRIDES, override_rejection_reason

Values = TypeVar("Values")

ImageTransport = Literal["raw", "compressed"]
DepthTransport = Literal["raw", "compressedDepth"]
MaskEncoding = Literal["mono8", "mono16"]
Reask = Literal["never", "on_lost", "every"]

_ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", OVERRIDES)
"""Beginnings of the names of parameters that every node may have."""


class Fixed(Enum):
    """States of the node in which a parameter can't change; the value says why."""

    CONFIGURED = "the models are loaded: clean the node up before you change"
    ACTIVE = "the node is active: deactivate it before you change"


class BadParameter(SegZeroError):
    """A parameter has a value that the node can't use."""


def parameter(
    default: Any,
    description: str,
    *,
    span: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
    read_only: bool = False,
    fixed: Fixed | None = None,
    may_be_empty: bool = False,
) -> Any:
    """Make a dataclass field for a parameter; its metadata fills the ParameterDescriptor.

    Args:
        default: The value without an override.
        description: What the parameter does, with its unit.
        span: The lowest and the highest number.
        choices: The allowed texts; any text if empty.
        read_only: Whether it can't change while the node runs.
        fixed: The state of the node in which it can't change.
        may_be_empty: Whether an empty text is allowed.

    Returns:
        A `dataclasses.field`.
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
    """Parameters of the perception node; those without `fixed` may change at any time.

    Each field's description is what `ros2 param describe` prints.
    """

    profile: str = parameter(
        "demo",
        "Profile of the models: its name (`segzero profiles` lists them) or the path of its YAML "
        "file.",
        fixed=Fixed.CONFIGURED,
    )
    device: str = parameter(
        "auto",
        "Device of the models: auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.",
        fixed=Fixed.CONFIGURED,
    )
    image_transport: ImageTransport = parameter(  # noqa: RUF009
        "raw",
        "raw subscribes to sensor_msgs/Image on `image`; compressed to sensor_msgs/CompressedImage "
        "on `image`/compressed, as image_transport does.",
        choices=get_args(ImageTransport),
        fixed=Fixed.ACTIVE,
    )
    first_frame_timeout: float = parameter(
        2.0,
        "Seconds that a query waits for the camera's first frame before it fails.",
        span=(0.0, 60.0),
    )
    max_frame_age: float = parameter(
        1.0,
        "Seconds since its arrival after which the newest image is too old for a question; a newer "
        "one is then waited for as long as first_frame_timeout says.",
        span=(0.01, 3600.0),
    )
    max_goals: int = parameter(
        8,
        "Most goals that have a question or followed objects; a question for one more fails.",
        span=(1, 100),
    )
    mask_encoding: MaskEncoding = parameter(  # noqa: RUF009
        "mono8",
        "Encoding of masks: mono8 has ids from 1 to 255, mono16 from 1 to 65535. An object gets "
        "the lowest id that is free.",
        choices=get_args(MaskEncoding),
    )
    camera_timeout: float = parameter(
        2.0,
        "Seconds without a frame after which /diagnostics reports the camera as silent.",
        span=(0.1, 3600.0),
    )
    follow: bool = parameter(True, "Follow the objects of an answer through later frames.")
    reask: Reask = parameter(  # noqa: RUF009
        "never",
        "When to repeat a followed query: never, on_lost (an object wasn't seen for a second) or "
        "every (each reask_period).",
        choices=get_args(Reask),
    )
    reask_period: float = parameter(
        10.0,
        "Least number of seconds between two repetitions of a query.",
        span=(0.1, 86400.0),
    )
    history: int = parameter(
        64,
        "Most frames kept while a query is answered; when full, every second one is dropped.",
        span=(2, 1000),
    )
    catch_up: int = parameter(
        8,
        "Most frames of the history, evenly spread, through which objects are tracked from the "
        "answered frame to the present; none of them is published.",
        span=(0, 1000),
    )
    use_depth: bool = parameter(
        False,
        "Subscribe to `depth` (registered to the image) and `camera_info`, and publish the "
        "objects' 3D geometry.",
        fixed=Fixed.ACTIVE,
    )
    depth_transport: DepthTransport = parameter(  # noqa: RUF009
        "raw",
        "raw subscribes to sensor_msgs/Image on `depth`; compressedDepth to "
        "sensor_msgs/CompressedImage on `depth`/compressedDepth, as image_transport does.",
        choices=get_args(DepthTransport),
        fixed=Fixed.ACTIVE,
    )
    max_pixels: int = parameter(
        40_000_000,
        "Most pixels of an image or depth image; one with more is refused before it is decoded.",
        span=(1, 170_000_000),
    )
    depth_tolerance: float = parameter(
        0.05,
        "Most seconds between the stamps of an image and of the depth image used with it.",
        span=(0.0, 10.0),
    )
    target_frame: str = parameter(
        "",
        "The tf frame of points, centroids and extents; empty leaves them in the camera's frame.",
        may_be_empty=True,
    )
    publish_tf: bool = parameter(
        False,
        "Publish to /tf a frame for each goal with depth: the pose of its first object.",
        read_only=True,
    )
    autostart: bool = parameter(
        False,
        "Configure and activate at start; leave it false if a lifecycle manager does that.",
        read_only=True,
    )

    @property
    def max_id(self) -> int:
        """The highest id of an object that the mask's encoding holds."""
        return {"mono8": 255, "mono16": 65535}[self.mask_encoding]


def declare(node: Node, kind: type) -> None:
    """Declare every field of a dataclass as a parameter with its descriptor.

    A whole number is taken for a parameter with a decimal point, at the start and later.

    Args:
        node: Gets the parameters.
        kind: A dataclass whose fields `parameter` made.

    Raises:
        BadParameter: The node was started with a parameter that doesn't exist or can't have its
            value.
    """
    given = node._parameter_overrides
    known = {item.name: item for item in fields(kind)}
    for name in given:
        if name not in known and not name.startswith(_ROS_PARAMETERS):
            raise BadParameter(_unknown(name, known))
        if reason := override_rejection_reason(name, given[name].value):
            raise BadParameter(reason)
    given.update({item.name: item for item in _fit_numbers(kind, list(given.values()))})
    for item in known.values():
        if item.name in given and type(given[item.name].value) is not type(item.default):
            raise BadParameter(_wrong_type(item.name, given[item.name].value, item.default))
        _declare_one(node, item)
    current = [node.get_parameter(name) for name in known]
    if reason := rejection_reason(current, kind):
        raise BadParameter(reason)
    node.add_pre_set_parameters_callback(lambda changes: _fit_numbers(kind, changes))


def _declare_one(node: Node, item: Field[Any]) -> None:
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
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    try:
        node.declare_parameter(item.name, item.default, descriptor)
    except InvalidParameterValueException as error:
        raise BadParameter(f"{item.name} must be from {low:g} to {high:g}") from error


def unused_qos_overrides(node: Node) -> list[str]:
    """Describe the given parameters that change the QoS of a topic which the node doesn't have.

    Args:
        node: Has all its publishers and subscriptions.

    Returns:
        A line for each, with the nearest name that exists.
    """
    given = [name for name in node._parameter_overrides if name.startswith(OVERRIDES)]
    known = [OVERRIDES + name for name in node.get_parameters_by_prefix(OVERRIDES.rstrip("."))]
    lines = []
    for name in given:
        if not node.has_parameter(name):
            near = get_close_matches(name, known, n=1)
            advice = f": did you mean {near[0]}?" if near else ""
            lines.append(f"{name} is for no topic of this node{advice}")
    return lines


def read(node: Node, kind: type[Values]) -> Values:
    """Return the current values of the parameters.

    Args:
        node: Has the parameters.
        kind: The dataclass that was declared.

    Raises:
        BadParameter: `rejection_reason` rejects a value.
    """
    current = node.get_parameters([item.name for item in fields(kind)])  # type: ignore[arg-type]
    reason = rejection_reason(current, kind)
    if reason:
        raise BadParameter(reason)
    return kind(**{item.name: item.value for item in current})


def rejection_reason(
    changes: Sequence[Parameter], kind: type, *, configured: bool = False, active: bool = False
) -> str:
    """Check new values of parameters; rclpy itself checks types, ranges and read-only ones.

    Args:
        changes: The new values; parameters that `kind` doesn't have are accepted.
        kind: The dataclass that was declared.
        configured: Whether the models are loaded.
        active: Whether the node is active.

    Returns:
        Why a value can't be set in this state of the node; "" if all can.
    """
    states = {Fixed.CONFIGURED: configured, Fixed.ACTIVE: active}
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
        if states.get(about["fixed"]):
            return f"{about['fixed'].value} {change.name}"
    return ""


def _one_of(choices: Sequence[str]) -> str:
    return f"one of {', '.join(choices)}" if choices else ""


def _fit_numbers(kind: type, changes: list[Parameter]) -> list[Parameter]:
    """Write whole numbers with the type of their parameters, 10 as 10.0."""
    defaults = {item.name: item.default for item in fields(kind)}
    return [
        Parameter(change.name, value=float(change.value))
        if type(change.value) is int and type(defaults.get(change.name)) is float
        else change
        for change in changes
    ]


def _unknown(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no parameter {name}: {advice}"


def _wrong_type(name: str, value: object, default: object) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return f"{name} must be {words[type(default)]}, not {value!r}"
