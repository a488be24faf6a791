"""Services that a bad request can't end the process through."""

import inspect
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterType, SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.service import Service

Callback = Callable[[Any, Any], Any]


def guard_services(node: Node) -> None:
    """Log what the callbacks of a node's services raise; rclpy would end the process.

    The caller then gets the response as it is without an answer, or, for parameters, the reason.

    Args:
        node: Has all of its services.
    """
    for service in node.services:
        service.callback = _guarded(node, service, _checked(service))


def _guarded(node: Node, service: Service, callback: Callback) -> Callback:
    def log(error: Exception) -> None:
        node.get_logger().error(
            f"A request of {service.srv_name} could not be answered: "
            f"{type(error).__name__}: {error}"
        )

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Exception as error:
            log(error)
            return response

    async def answer_later(request: Any, response: Any) -> Any:
        try:
            return await callback(request, response)
        except Exception as error:
            log(error)
            return response

    return answer_later if inspect.iscoroutinefunction(callback) else answer


def _checked(service: Service) -> Callback:
    """The callback, which for parameters sees only those that have a type."""
    callback: Callback = service.callback
    if service.srv_type is SetParameters:
        return lambda request, response: _set_each(callback, request, response)
    if service.srv_type is SetParametersAtomically:
        return lambda request, response: _set_all(callback, request, response)
    return callback


def _set_each(callback: Callback, request: Any, response: Any) -> Any:
    for parameter in request.parameters:
        result = _untyped(parameter)
        if result is None:
            single = SetParameters.Request(parameters=[parameter])
            (result,) = callback(single, SetParameters.Response()).results
        response.results.append(result)
    return response


def _set_all(callback: Callback, request: Any, response: Any) -> Any:
    refused = [result for parameter in request.parameters if (result := _untyped(parameter))]
    if not refused:
        return callback(request, response)
    response.result = refused[0]
    return response


def _untyped(parameter: Any) -> SetParametersResult | None:
    """Why a parameter's value can't be read; None if it can."""
    kind = parameter.value.type
    if ParameterType.PARAMETER_BOOL <= kind <= ParameterType.PARAMETER_STRING_ARRAY:
        return None
    return SetParametersResult(
        successful=False, reason=f"{parameter.name} has no type that ROS 2 knows ({kind})"
    )
