"""A real node for the console: the fixtures of the node's own tests."""

from tests.segzero_ros.conftest import load_shared, make_robot, namespace, operator, profiles, ros

__all__ = ["load_shared", "make_robot", "namespace", "operator", "profiles", "ros"]
