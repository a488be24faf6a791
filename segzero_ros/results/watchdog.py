"""Checks the camera and the connections to other nodes: silence, wrong types, QoS mismatches."""

import time
from collections import deque
from collections.abc import Iterator
from itertools import product

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from segzero.rates import Rate
from segzero_ros.images.frames import LatestFrame
from segzero_ros.results.diagnostics import status

LOSS_WINDOW = 10
"""Checks over which lost frames are counted: ten seconds."""
LOSS_LIMIT = 0.1
"""Share of lost frames that brings a warning."""
FEWEST_FRAMES = 20
"""Frames below which no share is told."""
LOSS_REMEDY = (
    "start the camera with FASTRTPS_DEFAULT_PROFILES_FILE set to config/fastdds.xml, let it send "
    "fewer or smaller images, or over a network use image_transport compressed"
)


class Watchdog:
    """Logs when the camera falls silent and when it returns; for the thread that spins.

    Args:
        node: The node that subscribes to the camera.
        frames: The camera's newest frame.
    """

    def __init__(self, node: Node, frames: LatestFrame) -> None:
        self._node = node
        self._frames = frames
        self._rate = Rate()
        self._counts: deque[tuple[int, int]] = deque([(0, 0)], maxlen=LOSS_WINDOW + 1)
        self._silent_since: float | None = None

    def check(self, topic: str, timeout: float, subscribed: float | None) -> list[DiagnosticStatus]:
        """Return the state of the camera and of the connections; call it once a second.

        Args:
            topic: Full name of the camera's topic.
            timeout: Seconds without a frame after which the camera counts as silent.
            subscribed: Since when the node subscribes to it, in seconds of `time.monotonic()`;
                None if it doesn't.
        """
        name = self._node.get_fully_qualified_name()
        return [
            self._camera_status(f"{name}: camera", topic, timeout, subscribed),
            self._connection_status(f"{name}: connections"),
        ]

    def _camera_status(
        self, name: str, topic: str, timeout: float, subscribed: float | None
    ) -> DiagnosticStatus:
        now = time.monotonic()
        newest = self._frames.newest()
        rate = self._rate.update(self._frames.received)
        values = {
            "topic": topic,
            "rate [Hz]": f"{rate:.1f}",
            "frames received": str(self._frames.received),
            "frames lost": str(self._frames.lost),
        }
        if newest:
            values["age of newest frame [s]"] = f"{now - newest.received:.2f}"
        share = self._lost_share()
        if subscribed is None:
            self._silent_since = None
            return status(
                name, DiagnosticStatus.OK, "not subscribed: the node isn't active", values
            )
        last = newest.received if newest else subscribed
        if now - last > timeout:
            text = f"no frame for {now - last:.0f} s: {why_silent(self._node, topic)}"
            if self._silent_since is None:
                self._silent_since = last
                self._node.get_logger().error(f"The camera is silent: {text}")
            return status(name, DiagnosticStatus.ERROR, text, values)
        if newest is None:
            return status(name, DiagnosticStatus.WARN, f"no frame yet on {topic}", values)
        if self._silent_since is not None:
            gap = newest.received - self._silent_since
            self._silent_since = None
            self._node.get_logger().info(f"Frames come again on {topic}, after {gap:.0f} s.")
        faults = [*_second_publishers(self._node, topic)]
        if share > LOSS_LIMIT:
            faults.append(f"{100 * share:.0f} % of the newest frames were lost: {LOSS_REMEDY}")
        level = DiagnosticStatus.WARN if faults else DiagnosticStatus.OK
        return status(name, level, "; ".join([f"{rate:.1f} Hz", *faults]), values)

    def _lost_share(self) -> float:
        """Which share of the frames was lost in the last checks; 0 if there were few."""
        self._counts.append((self._frames.received, self._frames.lost))
        (received, lost), (all_received, all_lost) = self._counts[0], self._counts[-1]
        missing = all_lost - lost
        total = missing + all_received - received
        return missing / total if total >= FEWEST_FRAMES else 0.0

    def _connection_status(self, name: str) -> DiagnosticStatus:
        faults = [*_namesakes(self._node), *qos_mismatches(self._node)]
        if not faults:
            return status(name, DiagnosticStatus.OK, "no QoS or type mismatch", {})
        return status(name, DiagnosticStatus.WARN, "; ".join(faults), {})


def why_silent(node: Node, topic: str) -> str:
    """Say why no frame comes on a topic, as far as is known, and what to do.

    Args:
        node: The node that subscribes to it.
        topic: Full name of the topic.
    """
    offered = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    readers = node.get_subscriptions_info_by_topic(topic)
    types = {info.topic_type for info in readers if _is_of(node, info)}
    if not offered:
        return f"nothing publishes on {topic}; start the camera or remap `image`"
    if not offered & types:
        return (
            f"{topic} carries {', '.join(sorted(offered))}, not {', '.join(sorted(types))}; "
            "set image_transport or remap `image`"
        )
    return f"{topic} has a publisher, but nothing arrives; check the camera and the network"


def _second_publishers(node: Node, topic: str) -> Iterator[str]:
    """Say which nodes publish on the camera's topic, if there are several publishers."""
    publishers = node.get_publishers_info_by_topic(topic)
    if len(publishers) > 1:
        names = ", ".join(sorted(map(_node_name, publishers)))
        yield (
            f"{len(publishers)} publishers on {topic} ({names}), their images are mixed: stop one, "
            "or remap `image`"
        )


def _namesakes(node: Node) -> Iterator[str]:
    """Say that other nodes have the name of this one."""
    own = node.get_fully_qualified_name()
    nodes = node.get_node_names_and_namespaces()
    count = sum(f"{space.rstrip('/')}/{name}" == own for name, space in nodes)
    if count > 1:
        yield (
            f"{count} nodes have the name {own}, questions and answers are mixed: stop one, or "
            "start it in another namespace"
        )


def qos_mismatches(node: Node) -> Iterator[str]:
    """Find the connections of a node that can't work.

    Args:
        node: The node whose topics are checked.

    Yields:
        The two nodes, the topic and the reason.
    """
    subscribed = {item.topic_name for item in node.subscriptions}
    published = {item.topic_name for item in node.publishers}
    for topic in sorted(subscribed | published):
        for writer, reader in product(
            node.get_publishers_info_by_topic(topic), node.get_subscriptions_info_by_topic(topic)
        ):
            if _is_of(node, writer) or _is_of(node, reader):
                reason = _mismatch(writer, reader)
                pair = f"{_node_name(reader)} can't receive from {_node_name(writer)}"
                if reason:
                    yield f"{pair} on {topic}: {reason}"


def _mismatch(writer: TopicEndpointInfo, reader: TopicEndpointInfo) -> str:
    if writer.topic_type != reader.topic_type:
        return f"the subscriber takes {reader.topic_type}, the publisher sends {writer.topic_type}"
    compatible, reason = qos_check_compatible(writer.qos_profile, reader.qos_profile)
    if compatible == QoSCompatibility.ERROR:
        return f"change the QoS of one ({reason.replace('ERROR: ', '').rstrip(';')})"
    return ""


def _is_of(node: Node, info: TopicEndpointInfo) -> bool:
    return _node_name(info) == node.get_fully_qualified_name()


def _node_name(info: TopicEndpointInfo) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
