"""The thread that compresses what viewers are shown: once for all of them, in order."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from segzero_console.frames import Picture
from segzero_console.messages import encode_jpeg

JPEG_QUALITY = 80
_ENCODED = 32
"""Pictures whose JPEG is kept for viewers that need it a little later."""
_MAX_PENDING = 8
"""Results that wait to be encoded; more are encoded by the thread that brings them."""


class Encoder:
    """A thread that works off what it is given.

    Args:
        on_jpeg: Called in the thread with each picture that was compressed.
    """

    def __init__(self, on_jpeg: Callable[[Picture, bytes], None]) -> None:
        self._on_jpeg = on_jpeg
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-encoder")
        self._pending = threading.BoundedSemaphore(_MAX_PENDING)
        self._jpegs: OrderedDict[tuple[int, int], Future[bytes]] = OrderedDict()

    def do(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do this after what was given before; nothing once it is closed. From any thread."""
        with suppress(RuntimeError):
            self._thread.submit(work, *arguments)

    def do_bounded(self, work: Callable[[], object]) -> None:
        """`do`, but in this thread if too much waits already."""
        if not self._pending.acquire(blocking=False):
            work()
            return

        def bounded() -> None:
            try:
                work()
            finally:
                self._pending.release()

        self.do(bounded)

    def jpeg(self, picture: Picture) -> Future[bytes]:
        """The JPEG of a picture; the first viewer that needs it has it made. In the event loop."""
        key = picture.stamp, picture.number
        known = self._jpegs.get(key)
        if known is None:
            known = self._thread.submit(self._compress, picture)
            self._jpegs[key] = known
            while len(self._jpegs) > _ENCODED:
                self._jpegs.popitem(last=False)
        return known

    def close(self) -> None:
        """Leave out what waits, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _compress(self, picture: Picture) -> bytes:
        jpeg = encode_jpeg(picture.rgb, JPEG_QUALITY)
        self._on_jpeg(picture, jpeg)
        return jpeg
