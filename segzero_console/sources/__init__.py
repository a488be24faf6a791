"""Where pictures come from when there is no node."""
