"""For other programs: a typed client of the perception node, and the `ask` command."""

from segzero_ros.client.client import SegZeroClient
from segzero_ros.client.connection import NoAnswer
from segzero_ros.client.query_handle import QueryHandle
from segzero_ros.client.reply import Outcome, Reply, state_name

__all__ = ["NoAnswer", "Outcome", "QueryHandle", "Reply", "SegZeroClient", "state_name"]
