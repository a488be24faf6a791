"""Parameters as frozen dataclasses: declared with descriptors, checked with reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import Field, field, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from segzero.errors import SegZeroError
from segzero_ros.qos import OVERRIDES, override_rejection_reason

Values = TypeVar("Values")

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
