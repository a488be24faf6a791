"""The results of recent frames by stamp, with their masks as PNG, in bounded memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_console.messages import Result, ShownObject, encode_ids, pack, result_header

MAX_BYTES = 64 * 2**20
MAX_RESULTS = 20_000
MAX_LIVE_RESULTS = 1500
"""Of a camera, whose old frames nobody comes back to."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredResult:
    """A result whose mask is compressed.

    Attributes:
        result: Without its mask.
        png: The mask; empty without objects.
    """

    result: Result
    png: bytes

    def message(self, more: Mapping[str, Any] = MappingProxyType({})) -> bytes:
        """The binary message for the page, with `more` in its header."""
        header = {**result_header(self.result), **more}
        return pack(header, [self.png] if self.png else [])

    def masks(self, ids: Iterable[int]) -> list[NDArray[np.bool_]]:
        """(H, W) masks of objects, in the order of `ids`."""
        if not self.png:
            return []
        drawn = decode_ids(self.png)
        return [drawn == number for number in ids]


def compress(result: Result) -> StoredResult:
    """Compress the mask of a result."""
    png = b"" if result.mask is None else encode_ids(result.mask)
    return StoredResult(replace(result, mask=None), png)


def decode_ids(png: bytes) -> NDArray:
    """(H, W) uint8 or uint16 ids of a PNG that `encode_ids` wrote."""
    ids = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert ids is not None, "this project wrote it"
    return ids


class ResultStore:
    """The newest results by stamp; for any thread.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int = MAX_RESULTS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._results: OrderedDict[int, StoredResult] = OrderedDict()
        self._bytes = 0

    def add(self, stored: StoredResult) -> None:
        """Keep a result; another goal's answer in the same frame stands beside it."""
        stamp = stored.result.stamp
        with self._lock:
            old = self._results.pop(stamp, None)
            if old:
                self._bytes -= _size(old)
                if stored.result.state in ("answered", "partial"):
                    stored = _joined(old, stored)
            self._results[stamp] = stored
            self._bytes += _size(stored)
            while self._bytes > MAX_BYTES or len(self._results) > self._limit:
                _, oldest = self._results.popitem(last=False)
                self._bytes -= _size(oldest)

    def find(self, stamp: int) -> StoredResult | None:
        """The result of a frame, if there is one."""
        with self._lock:
            return self._results.get(stamp)

    def find_followed(self, stamp: int) -> StoredResult | None:
        """The objects of a frame as if they were followed there; None without objects."""
        stored = self.find(stamp)
        if stored is None or not stored.png:
            return None
        result = replace(stored.result, state="tracked", request="", goal="", seconds={})
        return StoredResult(result, stored.png)


def _size(stored: StoredResult) -> int:
    return len(stored.png) + 500 * (1 + len(stored.result.objects))


def _joined(old: StoredResult, new: StoredResult) -> StoredResult:
    """A new answer over the objects of other goals in the same frame."""
    goal = new.result.goal
    others: tuple[ShownObject, ...] = tuple(o for o in old.result.objects if o.goal != goal)
    if not others or not old.png or not new.png:
        return new
    below, above = decode_ids(old.png), decode_ids(new.png)
    if below.shape != above.shape:
        return new
    below = np.where(np.isin(below, [item.id for item in others]), below, 0)
    drawn = np.where(above > 0, above, below)
    kind = np.uint8 if drawn.max() < 256 else np.uint16
    result = replace(new.result, objects=(*others, *new.result.objects))
    return StoredResult(result, encode_ids(drawn.astype(kind)))
