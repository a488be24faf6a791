"""From answers to messages, diagnostics and log lines."""
