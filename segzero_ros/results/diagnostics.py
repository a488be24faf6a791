"""What /diagnostics says about the models, the questions and the following."""

import os
import threading
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from segzero.errors import DeviceOutOfMemory

ENDS = ("answered", "nothing", "failed", "replaced", "stopped")
ANSWERS = 50
"""Latencies are those of the last so many answers."""
FOLLOWED = 300
"""Latencies are those of the last so many followed frames: ten seconds of most cameras."""


class DiagnosticsCollector:
    """Collects what happens to the node, from any thread, and reports it; bounded in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: tuple[bytes, str] = (DiagnosticStatus.OK, "not loaded")
        self._model_error = ""
        self._out_of_memory = 0  # times in a row
        self._error = ""
        self._last = ""
        self._ends: Counter[str] = Counter()
        self._answer_latencies: deque[float] = deque(maxlen=ANSWERS)
        self._follow_latencies: deque[float] = deque(maxlen=FOLLOWED)
        self._ages: deque[float] = deque(maxlen=FOLLOWED)
        self._following = ""
        self._objects = (0, 0)  # seen and lost in the last followed frame
        self._followed = 0
        self._dropped = 0
        self._bad = 0
        self._follow_rate = Rate()

    def models(self, state: str, *, failed: bool = False) -> None:
        """Tell the state of the models in words; `failed` makes it an error."""
        with self._lock:
            self._models = (DiagnosticStatus.ERROR if failed else DiagnosticStatus.OK, state)
            self._model_works()

    def ended(self, how: str, *, latency: float = 0.0, error: str = "") -> None:
        """Count a question that ended in one of `ENDS`; latency: seconds until its answer."""
        with self._lock:
            self._ends[how] += 1
            if error:
                self._error = error
            if how in ("answered", "nothing"):
                self._answer_latencies.append(latency)
                self._model_works()
            if how in ("answered", "nothing", "failed"):
                self._last = how

    def following(self, question: str) -> None:
        """Tell what is followed from now on; "" for nothing any more."""
        with self._lock:
            self._following = question
            self._objects = (0, 0)

    def followed(self, latency: float, age: float, *, seen: int = 0, lost: int = 0) -> None:
        """Count a followed frame.

        latency: seconds from the frame's arrival in the node to its mask.
        age: seconds from the frame's stamp to its mask, by the node's clock.
        seen, lost: numbers of objects.
        """
        with self._lock:
            self._followed += 1
            self._follow_latencies.append(latency)
            self._ages.append(age)
            self._objects = (seen, lost)
            self._model_works()

    def dropped(self, count: int) -> None:
        """Count frames that the following skipped because the models were busy."""
        with self._lock:
            self._dropped += count

    def bad_image(self, reason: str) -> None:
        """Count an image that can't be used."""
        with self._lock:
            self._bad += 1
            self._error = reason

    def error(self, error: Exception) -> None:
        """Tell that the models failed at work: an error until they have worked again."""
        with self._lock:
            self._out_of_memory += isinstance(error, DeviceOutOfMemory)
            self._model_error = str(error) or type(error).__name__
            if self._out_of_memory > 1:
                self._model_error += (
                    f" ({self._out_of_memory} times in a row: choose a profile with smaller models "
                    "or a smaller image_size, or stop what else runs on the device)"
                )

    def report(self, node: str) -> list[DiagnosticStatus]:
        """Return one status each for models, questions and following; call it once a second."""
        with self._lock:
            return [
                self._model_status(f"{node}: models"),
                self._question_status(f"{node}: questions"),
                self._following_status(f"{node}: following"),
            ]

    def _model_works(self) -> None:
        self._model_error, self._out_of_memory = "", 0

    def _model_status(self, name: str) -> DiagnosticStatus:
        level, text = self._models
        if self._model_error:
            level, text = DiagnosticStatus.ERROR, f"{text}, but failed: {self._model_error}"
        values = {"process memory [MiB]": f"{_resident_bytes() / 2**20:.0f}"}
        if torch.cuda.is_initialized():
            values["device memory [MiB]"] = f"{torch.cuda.memory_allocated() / 2**20:.0f}"
            values["device memory reserved [MiB]"] = f"{torch.cuda.memory_reserved() / 2**20:.0f}"
        return status(name, level, text, values)

    def _question_status(self, name: str) -> DiagnosticStatus:
        values = {how: str(self._ends[how]) for how in ENDS}
        values["last error"] = self._error
        if self._answer_latencies:
            values["latency of last answer [s]"] = f"{self._answer_latencies[-1]:.3f}"
            values |= _percentiles("latency", self._answer_latencies)
        level, text = DiagnosticStatus.OK, self._last or "no question yet"
        if self._last == "failed":
            level, text = DiagnosticStatus.WARN, f"last question failed: {self._error}"
        return status(name, level, text, values)

    def _following_status(self, name: str) -> DiagnosticStatus:
        seen, lost = self._objects
        values = {
            "question": self._following,
            "objects seen": str(seen),
            "objects lost": str(lost),
            "rate [Hz]": f"{self._follow_rate.update(self._followed):.1f}",
            "frames followed": str(self._followed),
            "frames skipped": str(self._dropped),
            "bad images": str(self._bad),
            **_percentiles("latency", self._follow_latencies),
            **_percentiles("age", self._ages),
        }
        text = f"{seen} of {seen + lost} objects seen" if self._following else "nothing is followed"
        return status(name, DiagnosticStatus.OK, text, values)


class Rate:
    """Turns a growing count into a rate between calls."""

    def __init__(self) -> None:
        self._count = 0
        self._time = time.monotonic()

    def update(self, count: int) -> float:
        """Return the counts per second since the last call."""
        now = time.monotonic()
        rate = (count - self._count) / max(now - self._time, 1e-3)
        self._count, self._time = count, now
        return max(rate, 0.0)


def status(name: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
    """Make one status of /diagnostics; `values` are shown beside its text."""
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


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
