"""A console in a process of its own."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Console:
    """A console that runs.

    Attributes:
        process: Its process.
        url: Of the page.
        rows: The folder for rows.
    """

    process: subprocess.Popen[str]
    url: str
    rows: Path = Path()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def start_console(*arguments: str, port: int = 0) -> Iterator[Console]:
    """Start `segzero console` and end it; `port` 0 chooses a free one."""
    command = [sys.executable, "-m", "segzero_console.command", *arguments]
    process = subprocess.Popen(
        [*command, "--port", str(port or free_port())], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line.startswith("The console is at "), f"it ended with {process.wait()}"
        yield Console(process, line.split()[-1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
