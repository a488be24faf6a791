"""Requests that no client library would send; the node answers them and goes on."""

from collections.abc import Callable, Iterator

import pytest
import rclpy
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters, SetParametersAtomically
from std_srvs.srv import Trigger

from segzero_ros.services import guard_services
from tests.segzero_ros.peer import Peer
from tests.segzero_ros.spinning import Spinning

pytestmark = pytest.mark.ros


def fail(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
    raise ValueError("a mistake")


@pytest.fixture
def peer(namespace: str) -> Iterator[Peer]:
    """The caller of a node with a parameter and a service that always fails."""
    node = rclpy.create_node("guarded", namespace=namespace)
    node.declare_parameter("period", 1.0)
    node.create_service(Trigger, "~/fail", fail)
    guard_services(node)
    spinning, peer = Spinning(node), Peer(namespace, "guarded")
    yield peer
    peer.close()
    spinning.close()
    node.destroy_node()


def parameter(kind: int, name: str = "period") -> ParameterMessage:
    return ParameterMessage(name=name, value=ParameterValue(type=kind, double_value=3.0))


@pytest.mark.parametrize("kind", [0, 10, 42, 255])
def test_a_parameter_of_no_type_is_refused(peer: Peer, kind: int) -> None:
    request = SetParameters.Request(parameters=[parameter(3), parameter(kind)])
    known, unknown = peer.call(SetParameters, "set_parameters", request).results
    assert known.successful
    assert not unknown.successful
    assert unknown.reason == f"period has no type that ROS 2 knows ({kind})"


@pytest.mark.parametrize("kind", [0, 10, 42, 255])
def test_none_of_several_is_set_if_one_has_no_type(peer: Peer, kind: int) -> None:
    request = SetParametersAtomically.Request(parameters=[parameter(3), parameter(kind)])
    response = peer.call(SetParametersAtomically, "set_parameters_atomically", request)
    assert not response.result.successful
    assert "no type" in response.result.reason


@pytest.mark.parametrize(
    "ask",
    [
        lambda peer: peer.call(Trigger, "fail", Trigger.Request()),
        lambda peer: peer.call(
            DescribeParameters, "describe_parameters", DescribeParameters.Request(names=[""])
        ),
        lambda peer: peer.call(
            SetParameters,
            "set_parameters",
            SetParameters.Request(parameters=[parameter(3, name="")]),
        ),
    ],
)
def test_a_request_that_fails_is_answered_and_the_node_goes_on(
    peer: Peer, ask: Callable[[Peer], object]
) -> None:
    ask(peer)
    assert peer.set_parameter("period", 2.0).successful
