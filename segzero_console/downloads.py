"""Files for a browser to fetch once, by a name that nobody can guess."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

MAX_FILES = 8
MAX_BYTES = 256 * 2**20
LIFETIME = 120.0
"""Seconds after which a file that nobody fetched is forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class Download:
    """A file in memory.

    Attributes:
        name: For the browser's folder of downloads.
        kind: Its MIME type.
        data: Its content.
        made: When, in seconds of `time.monotonic()`.
    """

    name: str
    kind: str
    data: bytes
    made: float = field(default_factory=time.monotonic)


class Downloads:
    """The files that wait; for the event loop's thread."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Download] = OrderedDict()

    def offer(self, file: Download) -> str:
        """Keep a file and return the last part of its URL."""
        key = secrets.token_urlsafe(24)
        self._files[key] = file
        self._drop_old()
        return key

    def take(self, key: str) -> Download | None:
        """Hand a file out, once."""
        self._drop_old()
        return self._files.pop(key, None)

    def _drop_old(self) -> None:
        oldest = time.monotonic() - LIFETIME
        for key in [key for key, file in self._files.items() if file.made < oldest]:
            del self._files[key]
        while len(self._files) > 1 and (
            len(self._files) > MAX_FILES
            or sum(len(file.data) for file in self._files.values()) > MAX_BYTES
        ):
            self._files.popitem(last=False)
