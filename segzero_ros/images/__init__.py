"""From camera messages to frames."""
