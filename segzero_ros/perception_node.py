"""The lifecycle node `segzero`: camera images and questions in, masks and reasoning out."""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

from segzero.errors import SegZeroError
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero_ros import parameters
from segzero_ros.depth import transforms
from segzero_ros.depth.locator import DepthSettings, Locator
from segzero_ros.images import camera
from segzero_ros.images.frames import LatestFrame
from segzero_ros.perception_parameters import Parameters
from segzero_ros.qos import RELIABLE_QOS
from segzero_ros.questions.object_service import ObjectService
from segzero_ros.questions.query_context import QueryContext
from segzero_ros.questions.query_inputs import QueryInputs
from segzero_ros.questions.query_processor import QueryProcessor
from segzero_ros.questions.segment_action import SegmentAction
from segzero_ros.questions.turns import Turns
from segzero_ros.results.diagnostics import DiagnosticsCollector, resident_bytes, status
from segzero_ros.results.reporter import Reporter
from segzero_ros.results.watchdog import Watchdog
from segzero_ros.services import guard_services
from segzero_ros.shutdown import ignore_signals, until_shutdown
from segzero_ros.startup import init_ros, refuse_bad_configuration


class PerceptionNode(LifecycleNode):
    """Connects camera, queries, models and results.

    Callbacks only pass values on; the models run in their own thread. Spin it in one thread:
    rclpy's MultiThreadedExecutor uses a whole core and loses half of a 720p camera's frames.

    Args:
        load: Loads the models of a (profile, device).
        turns: Shared with the other nodes that use the models.
        node_options: As for `rclpy.node.Node`.

    Attributes:
        frames: The camera's newest frame.
    """

    def __init__(
        self,
        *,
        load: Callable[[str, str], SegZero] = SegZero.load,
        turns: Turns | None = None,
        **node_options: Any,
    ) -> None:
        super().__init__("segzero", **node_options)
        self.frames = LatestFrame()
        self._load = load
        self._shared_turns = self._turns = turns or Turns()
        self._segzero: SegZero | None = None
        self._processor: QueryProcessor | None = None
        self._inputs: list[Subscription] = []
        self._subscribed_since: float | None = None
        self._query_count = 0

        parameters.declare(self, Parameters)
        self._values = Parameters()
        self.add_on_set_parameters_callback(self._on_set_parameters)

        self._diagnostics = DiagnosticsCollector()
        self._watchdog = Watchdog(self, self.frames)
        self._reporter = Reporter(self, self._diagnostics)
        self._action = SegmentAction(self, lambda: self._processor, self._next_id)
        self._queries = QueryInputs(self, lambda: self._processor, self._next_id)
        self._objects = ObjectService(self, lambda: self._processor, self._reporter, self._next_id)
        self.add_post_set_parameters_callback(lambda _: self._update_parameters())
        self._diagnostics_publisher = self.create_publisher(
            DiagnosticArray, "/diagnostics", RELIABLE_QOS
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(1.0, self._report, clock=steady)
        guard_services(self)

    def params(self) -> Parameters:
        """Return the current parameters."""
        return self._values

    def start(self) -> None:
        """Configure and activate."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models."""
        self._diagnostics.set_model_state("loading")
        self._report()  # the timer does not run meanwhile
        began = time.monotonic()
        try:
            params = parameters.read(self, Parameters)
            profile = load_profile(params.profile)
            self.get_logger().info(
                f"Loading {params.profile} on {params.device}: reasoner {profile.reasoner}"
                f"{' (at its server)' if profile.server else ''}, segmenter {profile.segmenter}."
            )
            # A server answers several questions at once.
            self._turns = Turns() if profile.server else self._shared_turns
            self._segzero = self._load(params.profile, params.device)
            self._segzero.warm_up()
        except Exception as error:
            self._unload()
            reason = self._reporter.explain(error)
            self._diagnostics.set_model_state(f"not loaded: {reason}", failed=True)
            self.get_logger().error(f"Can't load the models: {reason}")
            return TransitionCallbackReturn.FAILURE
        self._diagnostics.set_model_state(f"{params.profile} is ready")
        self.get_logger().info(
            f"{params.profile} is ready after {time.monotonic() - began:.1f} s, the process has "
            f"{resident_bytes() / 2**20:.0f} MiB."
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and to queries."""
        assert self._segzero is not None  # only a configured node can be activated
        self._update_parameters()
        try:
            if self.params().use_depth:
                self._reporter.outputs.locator = Locator(self, self._depth_settings())
        except SegZeroError as error:
            self.get_logger().error(f"Can't activate: {error}")
            return TransitionCallbackReturn.FAILURE
        outcome = super().on_activate(state)
        self._processor = QueryProcessor(
            QueryContext(self._segzero, self.frames, self.params, self._reporter, self._turns)
        )
        self._inputs = [
            camera.subscribe(self, self.frames),
            *self._queries.subscribe(self),
        ]
        self._subscribed_since = time.monotonic()
        topics = [item.topic_name for item in self._inputs]
        if locator := self._reporter.outputs.locator:
            topics += locator.topics()
        self.get_logger().info(f"Listening to {', '.join(topics)}.")
        for line in parameters.unused_qos_overrides(self):
            self.get_logger().warning(line)
        return outcome

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the subscriptions; a query under way fails."""
        self._stop_inputs("the node was deactivated")
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

    def destroy_node(self) -> None:
        """Destroy the node; it must not spin any more."""
        self._action.destroy()
        super().destroy_node()

    def close(self) -> None:
        """End the subscriptions and free the models."""
        self._stop_inputs("the node was shut down")
        self._unload()

    def _stop_inputs(self, reason: str) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs, self._subscribed_since = [], None
        if self._processor:
            self._processor.close(reason)
            self._processor = None
        if self._reporter.outputs.locator:
            self._reporter.outputs.locator.close()
            self._reporter.outputs.locator = None
        self.frames.clear()

    def _unload(self) -> None:
        if self._segzero:
            self._segzero.close()
            self._segzero = None
            self._diagnostics.set_model_state("not loaded")

    def _next_id(self) -> int:
        self._query_count += 1
        return self._query_count

    # Parameters and diagnostics

    def _update_parameters(self) -> None:
        self._values = parameters.read(self, Parameters)
        self.frames.max_pixels = self.params().max_pixels
        if locator := self._reporter.outputs.locator:
            locator.update_parameters(self._depth_settings())

    def _depth_settings(self) -> DepthSettings:
        params = self.params()
        return DepthSettings(
            params.depth_tolerance, params.target_frame, params.depth_transport, params.max_pixels
        )

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = parameters.rejection_reason(
            changes, Parameters, configured=bool(self._segzero), active=bool(self._processor)
        )
        if any(change.name == "target_frame" and change.value for change in changes):
            reason = reason or transforms.rejection_reason()
        return SetParametersResult(successful=not reason, reason=reason)

    def _report(self) -> None:
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        name, params = self.get_fully_qualified_name(), self.params()
        report.status = [
            *self._diagnostics.report(name),
            *self._watchdog.check(
                camera.topic(self), params.camera_timeout, self._subscribed_since
            ),
        ]
        if locator := self._reporter.outputs.locator:
            report.status.append(status(f"{name}: depth", *locator.status(), {}))
        self._diagnostics_publisher.publish(report)


def main(args: list[str] | None = None) -> None:
    """Run the node until ctrl-C or SIGTERM.

    Args:
        args: ROS arguments; None takes those of the process.
    """
    run(args, lambda: [PerceptionNode()])


def run(args: list[str] | None, make_nodes: Callable[[], Sequence[PerceptionNode]]) -> None:
    """Run nodes in one thread until ctrl-C or SIGTERM.

    Args:
        args: ROS arguments; None takes those of the process.
        make_nodes: Makes the nodes, once ROS is initialised.

    Raises:
        SystemExit: Their settings can't be used; one line on stderr says why.
    """
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # they garble log files
    with until_shutdown():
        _run(args, make_nodes)
    gc.freeze()  # else the interpreter collects garbage in all of torch once more, for seconds


def _run(args: list[str] | None, make_nodes: Callable[[], Sequence[PerceptionNode]]) -> None:
    init_ros(args)
    with refuse_bad_configuration():
        nodes = make_nodes()
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            executor.create_task(node.start)
    with until_shutdown():
        executor.spin()
    ignore_signals()  # a second ctrl-C would only interrupt the clean-up
    executor.shutdown()
    for node in nodes:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
