"""For other programs: a typed client of the perception node, and the `ask` command."""

from segzero_ros.client.client import Outcome, QueryHandle, Reply, SegZeroClient, state_name
from segzero_ros.client.connection import NoAnswer

__all__ = ["NoAnswer", "Outcome", "QueryHandle", "Reply", "SegZeroClient", "state_name"]
