"""What /diagnostics says about the models, the camera and the questions."""

import os
import threading
import time
from collections import Counter
from pathlib import Path

import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from segzero_ros.frames import LatestFrame

SILENT = 2.0
"""Seconds without a frame after which the camera counts as silent."""


class Health:
    """Collects what happens to the node, from any thread, and reports it.

    Questions are counted by how they end: answered, nothing, failed, replaced, stopped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: tuple[bytes, str] = (DiagnosticStatus.OK, "not loaded")
        self._error = ""
        self._last = ""
        self._ends: Counter[str] = Counter()
        self._latencies = (0.0, 0.0)  # seconds: of the last answer, sum of all
        self._rate = _Rate()

    def models(self, state: str, *, failed: bool = False) -> None:
        """Tell the state of the models in words; `failed` makes it an error."""
        with self._lock:
            self._models = (DiagnosticStatus.ERROR if failed else DiagnosticStatus.OK, state)

    def ended(self, how: str, *, latency: float = 0.0, error: str = "") -> None:
        """Count a question that ended; latency: seconds from question to answer."""
        with self._lock:
            self._ends[how] += 1
            if error:
                self._error = error
            if how in ("answered", "nothing"):
                self._latencies = (latency, self._latencies[1] + latency)
            if how in ("answered", "nothing", "failed"):
                self._last = how

    def report(
        self, node: str, topic: str, frames: LatestFrame, *, active: bool
    ) -> list[DiagnosticStatus]:
        """Return one status each for models, camera and questions; call it once a second."""
        with self._lock:
            return [
                self._model_status(f"{node}: models"),
                self._camera_status(f"{node}: camera", topic, frames, active),
                self._question_status(f"{node}: questions"),
            ]

    def _model_status(self, name: str) -> DiagnosticStatus:
        level, text = self._models
        values = {"process memory [MiB]": f"{_resident_bytes() / 2**20:.0f}"}
        if torch.cuda.is_initialized():
            values["device memory [MiB]"] = f"{torch.cuda.memory_allocated() / 2**20:.0f}"
        return _status(name, level, text, values)

    def _camera_status(
        self, name: str, topic: str, frames: LatestFrame, active: bool
    ) -> DiagnosticStatus:
        rate = self._rate.update(frames.received)
        values = {
            "topic": topic,
            "rate [Hz]": f"{rate:.1f}",
            "frames received": str(frames.received),
            "frames lost": str(frames.lost),
        }
        newest = frames.newest()
        age = time.monotonic() - newest.received if newest else None
        if age is not None:
            values["age of newest frame [s]"] = f"{age:.2f}"
        if not active:
            level, text = DiagnosticStatus.OK, "not subscribed: the node is not active"
        elif age is None:
            level, text = DiagnosticStatus.WARN, f"no frame yet on {topic}"
        elif age > SILENT:
            level, text = DiagnosticStatus.WARN, f"no frame for {age:.0f} s on {topic}"
        else:
            level, text = DiagnosticStatus.OK, f"{rate:.1f} Hz"
        return _status(name, level, text, values)

    def _question_status(self, name: str) -> DiagnosticStatus:
        answers = self._ends["answered"] + self._ends["nothing"]
        values = {
            how: str(self._ends[how])
            for how in ("answered", "nothing", "failed", "replaced", "stopped")
        }
        values["last error"] = self._error
        if answers:
            last, total = self._latencies
            values["latency of last answer [s]"] = f"{last:.3f}"
            values["mean latency [s]"] = f"{total / answers:.3f}"
        level, text = DiagnosticStatus.OK, self._last or "no question yet"
        if self._last == "failed":
            level, text = DiagnosticStatus.WARN, f"last question failed: {self._error}"
        return _status(name, level, text, values)


class _Rate:
    """Turns a growing count into a rate between calls."""

    def __init__(self) -> None:
        self._count = 0
        self._time = time.monotonic()

    def update(self, count: int) -> float:
        now = time.monotonic()
        rate = (count - self._count) / max(now - self._time, 1e-3)
        self._count, self._time = count, now
        return max(rate, 0.0)


def _status(name: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
    return DiagnosticStatus(
        name=name,
        level=level,
        message=text,
        hardware_id="segzero",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
