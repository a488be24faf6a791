"""The thread that tells the pages each second how things stand."""

import threading
from collections.abc import Callable

from segzero_console.backend import Sink, error_text
from segzero_console.messages import Light

PERIOD = 1.0
"""Seconds; a page that hears nothing for eight of them takes the connection for dead."""


def report_lights(sink: Sink, lights: Callable[[], list[Light]], stop: threading.Event) -> None:
    """Tell the lights until `stop` is set; what can't be told is a light itself."""
    while not stop.wait(PERIOD):
        try:
            found = lights()
        except Exception as error:
            sink.trouble("the diagnostics failed", error)
            found = [Light("diagnostics", "error", error_text(error))]
        sink.lights(found)
