"""The states of models, queries and following on /diagnostics."""

import os
import sys
import threading
from collections import Counter, deque
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from segzero.errors import DeviceOutOfMemory
from segzero.rates import Rate

ANSWER_WINDOW = 50
"""Answers over which percentiles are computed."""
FRAME_WINDOW = 300
"""Followed frames over which percentiles are computed: ten seconds of most cameras."""


class QueryEnd(StrEnum):
    """How a query ended."""

    ANSWERED = "answered"
    NOTHING = "nothing"  # answered: nothing in the image matches
    FAILED = "failed"
    REPLACED = "replaced"
    STOPPED = "stopped"


class DiagnosticsCollector:
    """Counts events of the node, from any thread, and reports them; bounded in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: tuple[bytes, str] = (DiagnosticStatus.OK, "not loaded")
        self._model_error = ""
        self._out_of_memory = 0  # times in a row
        self._error = ""
        self._last: QueryEnd | None = None
        self._ends: Counter[QueryEnd] = Counter()
        self._answer_latencies: deque[float] = deque(maxlen=ANSWER_WINDOW)
        self._follow_latencies: deque[float] = deque(maxlen=FRAME_WINDOW)
        self._ages: deque[float] = deque(maxlen=FRAME_WINDOW)
        self._followed_query = ""
        self._objects = (0, 0)  # seen and lost in the last followed frame
        self._followed = 0
        self._skipped = 0
        self._bad = 0
        self._follow_rate = Rate()

    def set_model_state(self, state: str, *, failed: bool = False) -> None:
        """Set the state of the models.

        Args:
            state: The state in words.
            failed: Whether it is an error.
        """
        with self._lock:
            self._models = (DiagnosticStatus.ERROR if failed else DiagnosticStatus.OK, state)
            self._clear_model_error()

    def count_query(self, end: QueryEnd, *, latency: float = 0.0, error: str = "") -> None:
        """Count a query that ended.

        Args:
            end: How it ended.
            latency: Seconds until its answer.
            error: Why it has no answer.
        """
        with self._lock:
            self._ends[end] += 1
            if error:
                self._error = error
            if end in (QueryEnd.ANSWERED, QueryEnd.NOTHING):
                self._answer_latencies.append(latency)
                self._clear_model_error()
            if end in (QueryEnd.ANSWERED, QueryEnd.NOTHING, QueryEnd.FAILED):
                self._last = end

    def set_followed_query(self, query: str) -> None:
        """Set the query whose objects are followed; "" for no query."""
        with self._lock:
            self._followed_query = query
            self._objects = (0, 0)

    def count_frame(self, latency: float, age: float, *, seen: int = 0, lost: int = 0) -> None:
        """Count a followed frame.

        Args:
            latency: Seconds from the frame's arrival in the node to its mask.
            age: Seconds from the frame's stamp to its mask, by the node's clock.
            seen: Number of objects seen in it.
            lost: Number of the query's other objects.
        """
        with self._lock:
            self._followed += 1
            self._follow_latencies.append(latency)
            self._ages.append(age)
            self._objects = (seen, lost)
            self._clear_model_error()

    def count_skipped(self, count: int) -> None:
        """Count frames that were not followed because the models were busy."""
        with self._lock:
            self._skipped += count

    def count_bad_image(self, reason: str) -> None:
        """Count an image that can't be used."""
        with self._lock:
            self._bad += 1
            self._error = reason

    def set_model_error(self, error: Exception) -> None:
        """Report an error of the models until they have worked again."""
        with self._lock:
            self._out_of_memory += isinstance(error, DeviceOutOfMemory)
            self._model_error = str(error) or type(error).__name__
            if self._out_of_memory > 1:
                self._model_error += (
                    f" ({self._out_of_memory} times in a row: choose a profile with smaller models "
                    "or a smaller image_size, or stop what else runs on the device)"
                )

    def report(self, node: str) -> list[DiagnosticStatus]:
        """Return one status each for models, queries and following; call it once a second.

        Args:
            node: Fully qualified name of the node.
        """
        with self._lock:
            return [
                self._model_status(f"{node}: models"),
                self._query_status(f"{node}: questions"),
                self._following_status(f"{node}: following"),
            ]

    def _clear_model_error(self) -> None:
        self._model_error, self._out_of_memory = "", 0

    def _model_status(self, name: str) -> DiagnosticStatus:
        level, text = self._models
        if self._model_error:
            level, text = DiagnosticStatus.ERROR, f"{text}, but failed: {self._model_error}"
        values = {"process memory [MiB]": f"{resident_bytes() / 2**20:.0f}"}
        # torch is imported with the models, which takes seconds; another thread may be at it.
        cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
        if hasattr(cuda, "memory_reserved") and cuda.is_initialized():
            values["device memory [MiB]"] = f"{cuda.memory_allocated() / 2**20:.0f}"
            values["device memory reserved [MiB]"] = f"{cuda.memory_reserved() / 2**20:.0f}"
        return status(name, level, text, values)

    def _query_status(self, name: str) -> DiagnosticStatus:
        values = {end.value: str(self._ends[end]) for end in QueryEnd}
        values["last error"] = self._error
        if self._answer_latencies:
            values["latency of last answer [s]"] = f"{self._answer_latencies[-1]:.3f}"
            values |= _percentiles("latency", self._answer_latencies)
        level, text = DiagnosticStatus.OK, self._last or "no question yet"
        if self._last is QueryEnd.FAILED:
            level, text = DiagnosticStatus.WARN, f"last question failed: {self._error}"
        return status(name, level, text, values)

    def _following_status(self, name: str) -> DiagnosticStatus:
        seen, lost = self._objects
        values = {
            "question": self._followed_query,
            "objects seen": str(seen),
            "objects lost": str(lost),
            "rate [Hz]": f"{self._follow_rate.update(self._followed):.1f}",
            "frames followed": str(self._followed),
            "frames skipped": str(self._skipped),
            "bad images": str(self._bad),
            **_percentiles("latency", self._follow_latencies),
            **_percentiles("age", self._ages),
        }
        text = "nothing is followed"
        if self._followed_query:
            text = f"{seen} of {seen + lost} objects seen"
        return status(name, DiagnosticStatus.OK, text, values)


def status(name: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
    """Make one status of /diagnostics.

    Args:
        name: What it describes.
        level: A level of DiagnosticStatus.
        text: Its message.
        values: Further values by key.
    """
    return DiagnosticStatus(
        name=name,
        level=level,
        message=text,
        hardware_id="segzero",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _percentiles(what: str, seconds: deque[float]) -> dict[str, str]:
    if not seconds:
        return {}
    p50, p95 = np.percentile(seconds, [50, 95])
    return {f"{what} p50 [s]": f"{p50:.3f}", f"{what} p95 [s]": f"{p95:.3f}"}


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
