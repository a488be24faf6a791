"""A real server in this process, and a program in the place of a browser."""

import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from segzero_console.access import Access
from segzero_console.backend import Backend
from segzero_console.messages import unpack
from segzero_console.rerun_log import RerunLog
from segzero_console.rows import RowWriter
from segzero_console.server import Server, make_app
from tests.segzero_console.page.console import Console

DEADLINE = 60.0


@contextlib.contextmanager
def serve(
    backend: Backend, rows: Path, token: str = "", log: RerunLog | None = None
) -> Iterator[Server]:
    """Run the server until the block ends."""
    server = Server(make_app(backend, RowWriter(rows), Access(token, 0), log), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join()


class Browser:
    """A page's WebSocket; remembers what comes."""

    def __init__(self, server: Server | Console, **options: Any) -> None:
        address = server.url.replace("http", "ws") + "ws"
        self._stack = contextlib.ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(address, max_size=None, compression=None, **options)
        )
        self.seen: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps({"request": "r", **message}))

    def send_picture(self, content: bytes, **header: Any) -> None:
        header = {"type": "picture", "request": "p", "text": "cups", **header}
        text = json.dumps({**header, "parts": [len(content)]}).encode()
        self.socket.send(struct.pack("<I", len(text)) + text + content)

    def receive(self) -> dict[str, Any]:
        """The next message; binary parts lie in `parts`."""
        message = self.socket.recv(timeout=DEADLINE)
        if isinstance(message, str):
            found = json.loads(message)
        else:
            header, parts = unpack(message)
            found = {**header, "parts": parts}
        self.seen.append(found)
        return found

    def wait(self, kind: str, right: Callable[[dict], bool] = lambda _: True) -> dict[str, Any]:
        """The next message of a type for which `right` holds; errors that nobody awaits fail."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            found = self.receive()
            if found["type"] == kind and right(found):
                return found
            assert kind == "error" or found["type"] != "error", found
        raise AssertionError(f"no {kind} came")

    def close(self) -> None:
        self._stack.close()
