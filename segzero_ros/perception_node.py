"""The lifecycle node `segzero`: camera frames and questions in, masks and reasoning out."""

import gc
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from segzero import overlay
from segzero.errors import SegZeroError
from segzero.pipeline import SegZero
from segzero.types import Segmentation
from segzero_ros import parameters, results
from segzero_ros.answering import Answering, NoFrame, Question, Replaced, Stopped, pixels
from segzero_ros.conversions import from_array
from segzero_ros.diagnostics import Health
from segzero_ros.frames import LatestFrame
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.parameters import Parameters
from segzero_ros.shutdown import until_shutdown

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_FIXED = frozenset(item.name for item in fields(Parameters))


class PerceptionNode(LifecycleNode):
    """Wires camera, questions, models and results together.

    Callbacks only pass values on; the models run in a thread of their own. For one thread that
    spins: rclpy's executor for several burns a core and loses half of a 720p camera's frames.

    load: makes the models of a (profile, device).
    frames: the newest frame of the camera.
    """

    def __init__(
        self, *, load: Callable[[str, str], SegZero] = SegZero.load, **node_options: Any
    ) -> None:
        super().__init__("segzero", **node_options)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

        self.frames = LatestFrame()
        self._load = load
        self._segzero: SegZero | None = None
        self._answering: Answering | None = None
        self._inputs: list[Subscription] = []
        self._health = Health()
        self._query_count = 0

        parameters.declare(self, Parameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)

        publisher = self.create_lifecycle_publisher
        self._segmentation = publisher(SegmentationMessage, "~/segmentation", RELIABLE_QOS)
        self._mask = publisher(Image, "~/mask", RELIABLE_QOS)
        self._reasoning = publisher(String, "~/reasoning", RELIABLE_QOS)
        self._overlay = publisher(Image, "~/overlay", RELIABLE_QOS)

        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE_QOS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(1.0, self._report, clock=steady)

    def start(self) -> None:
        """Configure and activate."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models."""
        self._health.models("loading")
        self._report()  # the timer rests meanwhile
        try:
            wanted = parameters.read(self, Parameters)
            self._segzero = self._load(wanted.profile, wanted.device)
        except Exception as error:
            reason = self._explain(error)
            self._health.models(f"not loaded: {reason}", failed=True)
            self.get_logger().error(f"Can't load the models: {reason}")
            return TransitionCallbackReturn.FAILURE
        self._health.models(f"{wanted.profile} is ready")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the camera and to questions."""
        assert self._segzero is not None  # only a configured node can be activated
        outcome = super().on_activate(state)
        wanted = parameters.read(self, Parameters)
        self._answering = Answering(
            self._segzero, self.frames, wanted.first_frame_timeout, self._on_end
        )
        self._inputs = [
            self.create_subscription(
                CompressedImage if wanted.image_transport == "compressed" else Image,
                self._image_topic(),
                self.frames.put,
                CAMERA_QOS,
                event_callbacks=SubscriptionEventCallbacks(message_lost=self.frames.count_lost),
            ),
            self.create_subscription(String, "~/query", self._on_query, RELIABLE_QOS),
        ]
        return outcome

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; a question under way fails."""
        self._stop_listening("the node was deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        self._unload()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured."""
        self.close()
        return super().on_error(state)

    def close(self) -> None:
        """Stop listening and free the models."""
        self._stop_listening("the node was shut down")
        self._unload()

    def _stop_listening(self, reason: str) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._answering:
            self._answering.close(reason)
            self._answering = None
        self.frames.clear()

    def _unload(self) -> None:
        if self._segzero:
            self._segzero.close()
            self._segzero = None
            self._health.models("not loaded")

    def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return self._change_state(request, response)
        except RuntimeError as error:  # an impossible transition; rclpy would end the process
            self.get_logger().error(f"Refused a transition: {error}")
            response.success = False
            return response

    # Questions

    def _on_query(self, query: String) -> None:
        if self._answering:
            self._query_count += 1
            self._answering.ask(self._query_count, query.data)

    def _on_end(self, question: Question, result: Segmentation | Exception) -> None:
        """Publish how a question ended; called from the worker's thread, too."""
        try:
            if isinstance(result, Segmentation):
                self._publish(question, result)
            elif isinstance(result, Replaced):
                self._health.ended("replaced")
                self.get_logger().info(f"Question {question.id} was {result}.")
            else:
                self._fail(question, result)
        except Exception as error:
            if self.context.ok():  # else nothing can be published any more
                self._fail(question, error)

    def _publish(self, question: Question, result: Segmentation) -> None:
        message = results.answered(result, question.header, question.text, question.id)
        if question.frame and self._overlay.get_subscription_count():
            picture = overlay.draw(pixels(question.frame), result)
            self._overlay.publish(from_array(picture, message.header))
        latency = time.monotonic() - question.received
        self._health.ended(results.state_name(message), latency=latency)
        self._mask.publish(message.mask)
        self._reasoning.publish(String(data=message.reasoning))
        self._segmentation.publish(message)

    def _fail(self, question: Question, error: Exception) -> None:
        reason = self._explain(error)
        stopped = isinstance(error, Stopped)
        self._health.ended("stopped" if stopped else "failed", error=reason)
        self.get_logger().warning(f"Question {question.id} failed: {reason}")
        self._segmentation.publish(
            results.failed(reason, question.header, question.text, question.id)
        )

    def _explain(self, error: Exception) -> str:
        """Say what happened; an error that nobody foresaw goes to the log with its traceback."""
        if isinstance(error, NoFrame):
            topic = self._image_topic()
            if self.count_publishers(topic):
                return f"{error} on {topic}, though it has a publisher: check the camera"
            return f"{error}: nothing publishes on {topic}; start the camera or remap `image`"
        if isinstance(error, SegZeroError):
            return str(error)
        self.get_logger().error("".join(traceback.format_exception(error)))
        return f"unexpected {type(error).__name__}: {error}"

    # Parameters and diagnostics

    def _image_topic(self) -> str:
        topic = self.resolve_topic_name("image")
        compressed = self.get_parameter("image_transport").value == "compressed"
        return f"{topic}/compressed" if compressed else topic

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = parameters.refusal(changes, Parameters)
        if self._segzero and any(change.name in _FIXED for change in changes):
            reason = "the models are loaded: clean the node up before you change its parameters"
        return SetParametersResult(successful=not reason, reason=reason)

    def _report(self) -> None:
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        report.status = self._health.report(
            self.get_fully_qualified_name(),
            self._image_topic(),
            self.frames,
            active=bool(self._inputs),
        )
        self._diagnostics.publish(report)


def main(args: list[str] | None = None) -> None:
    """Run the node until ctrl-C or SIGTERM."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # they garble log files
    rclpy.init(args=args)
    node = PerceptionNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if node.get_parameter("autostart").value:
        executor.create_task(node.start)
    with until_shutdown():
        executor.spin()
    executor.shutdown()
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()
    gc.freeze()  # else the interpreter walks through all of torch once more, for seconds


if __name__ == "__main__":
    main()
