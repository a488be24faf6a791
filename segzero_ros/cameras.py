"""`ros2 run segzero_ros cameras front rear`: one process, whose models serve several cameras.

Each name is the namespace of a perception node: `/front/segzero` and `/rear/segzero` have the
topics, services and parameters that they would have as processes of their own. The weights lie in
memory once. Questions of the cameras are answered in turn, and each camera follows its objects.
"""

import argparse
import sys
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from segzero_ros.perception_node import PerceptionNode, run
from segzero_ros.shared_models import SharedModels
from segzero_ros.startup import stop_with


def main(args: list[str] | None = None) -> None:
    """Run the nodes until ctrl-C or SIGTERM.

    Args:
        args: The program's name, the cameras' names and ROS arguments; None takes those of the
            process.
    """
    parser = argparse.ArgumentParser(prog="cameras", description=__doc__)
    parser.add_argument("cameras", nargs="+", metavar="CAMERA", help="a namespace, such as front")
    words = remove_ros_args(sys.argv if args is None else args)[1:]
    names = parser.parse_args(words).cameras
    run(args, lambda: make_nodes(names, SharedModels()))


def make_nodes(names: Sequence[str], models: SharedModels) -> list[PerceptionNode]:
    """Make a node for each camera; they use the same models.

    Args:
        names: Namespaces of the nodes, from the root.
        models: Loads them.

    Returns:
        The nodes, unconfigured.

    Raises:
        SystemExit: Two nodes would have the same name.
    """
    namespaces = [f"/{name.strip('/')}" for name in names]
    for namespace in namespaces:
        if namespaces.count(namespace) > 1:
            stop_with(f"two cameras have the name {namespace[1:]}: give each its own")
    nodes = [
        PerceptionNode(load=models.load, turns=models.turns, namespace=namespace)
        for namespace in namespaces
    ]
    for node, namespace in zip(nodes, namespaces, strict=True):
        if node.get_namespace() != namespace:
            stop_with(
                "a camera's name is its namespace: write it before the name, as in robot/front, "
                "instead of remapping __ns"
            )
    return nodes


if __name__ == "__main__":
    main()
