"""The quality-of-service profiles that several modules share, and how parameters change them."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For images: only the newest one counts."""
RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""For results, which hold masks, for pictures and diagnostics."""
QUERY_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
"""For queries, and who listens to results: a burst mustn't push one out."""
TEXT_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""For pieces of text: each one counts, and a busy subscriber reads them late."""
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For the last answer, which late subscribers get, too."""

OVERRIDES = "qos_overrides."
"""Beginning of the names of the parameters that change a topic's QoS."""
_POLICIES: Mapping[str, tuple[str, ...]] = {
    "history": ("keep_last", "keep_all"),
    "depth": (),
    "reliability": ("reliable", "best_effort"),
    "durability": ("volatile", "transient_local"),
}
"""What may be changed, with the values; `depth` is a number."""
_MAX_DEPTH = 100_000


def overridable(qos: QoSProfile) -> dict[str, Any]:
    """Return arguments of create_publisher and create_subscription: a QoS that parameters change.

    Args:
        qos: What holds without parameters; it stays as it is.
    """
    kinds = [QoSPolicyKind[name.upper()] for name in _POLICIES]
    return {"qos_profile": copy(qos), "qos_overriding_options": QoSOverridingOptions(kinds)}


def create_output(
    node: LifecycleNode, kind: type, topic: str, qos: QoSProfile = RELIABLE_QOS
) -> Publisher:
    """Create a publisher that is silent while the node isn't active; parameters change its QoS."""
    return node.create_lifecycle_publisher(kind, topic, **overridable(qos))


def override_rejection_reason(name: str, value: object) -> str:
    """Check a parameter that may begin with `OVERRIDES`.

    Args:
        name: Its full name.
        value: Its value.

    Returns:
        Why it can't be used; "" if it can, or has another beginning.
    """
    if not name.startswith(OVERRIDES):
        return ""
    parts = name.split(".")
    if len(parts) != 4 or not parts[1].startswith("/"):
        return f"{name} must have the form {OVERRIDES}/TOPIC.publisher.POLICY (or subscription)"
    entity, policy = parts[2:]
    if entity not in ("publisher", "subscription"):
        return f"{name}: after the topic comes publisher or subscription, not {entity}"
    if policy not in _POLICIES:
        return f"{name}: the policy must be one of {', '.join(_POLICIES)}"
    if choices := _POLICIES[policy]:
        if value not in choices:
            return f"{name} must be one of {', '.join(choices)}, not {value!r}"
    elif type(value) is not int or not 1 <= value <= _MAX_DEPTH:
        return f"{name} must be a whole number from 1 to {_MAX_DEPTH}, not {value!r}"
    return ""
