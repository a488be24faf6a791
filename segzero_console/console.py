"""Serve the page for a running perception node."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segzero.terminal import escape_unprintable
from segzero_console.command import ROWS, add_server_arguments, serve_safely, start_server
from segzero_console.node_backend import NodeBackend
from segzero_console.rows import RowWriter


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; None takes those of the process.

    Returns:
        The exit status.
    """
    escape_unprintable()
    logging.captureWarnings(True)
    argv = list(sys.argv if argv is None else ["console", *argv])
    parser = argparse.ArgumentParser(
        prog="console", description=__doc__, epilog="ROS arguments follow after --ros-args."
    )
    parser.add_argument(
        "--node", default="segzero", help="name of the perception node (default: %(default)s)"
    )
    parser.add_argument(
        "--image",
        default="/camera/image_raw",
        help="the camera's topic; one that ends in /compressed holds compressed images (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=ROWS, help="folder for saved rows (default: %(default)s)"
    )
    add_server_arguments(parser)
    arguments = parser.parse_args(remove_ros_args(argv)[1:])

    def serve() -> None:
        rows = RowWriter(arguments.out)
        # The web server ends on the signals; rclpy's own handler would end ROS before.
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = Node("segzero_console", start_parameter_services=False)
            backend = NodeBackend(node, arguments.node, node.resolve_topic_name(arguments.image))
            start_server(backend, rows, arguments)
        finally:
            rclpy.try_shutdown()

    return serve_safely(serve)


if __name__ == "__main__":
    sys.exit(main())
